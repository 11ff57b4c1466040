//! CSV for spreadsheets: RFC 4180 quoting, one header line, the JSON's names.
//!
//! Data stays data: nothing is escaped beyond quoting, and an unknown figure is
//! an empty field.

use jiff::tz::TimeZone;
use sshmeter_core::{
    identity::HostName,
    report::{By, Report, Who},
    units::Traffic,
};

use super::{
    View,
    json::{EndpointDocument, SessionDocument, by_name, figures},
    report_table::columns,
    rfc3339,
};
use crate::store::SessionList;

/// A report's rows.
#[must_use]
pub fn report_csv(report: &Report, view: &View<'_>) -> String {
    let zone = report.calendar.zone();
    let columns = columns(&report.by);
    let mut header = vec!["start"];
    for column in &columns {
        header.push(by_name(*column));
        if *column == By::Credential {
            header.push("credential_name");
        }
    }
    header.push("sessions");
    header.extend(FIGURES);
    let mut text = line(header);
    let (rows, _) = view.chosen(report);
    for row in rows {
        let key = &row.key;
        let mut fields = vec![rfc3339(row.start.start(), zone)];
        for column in &columns {
            match column {
                By::User => fields.push(key.user.as_ref().map_or_else(String::new, Who::label)),
                By::Credential => {
                    let credential = key.credential.as_ref().map_or("", |text| text.as_str());
                    fields.push(credential.to_owned());
                    fields.push(view.keys.get(credential).cloned().unwrap_or_default());
                }
                By::Peer => fields.push(optional(key.peer)),
                By::Session => fields.push(optional(key.session)),
                By::Host => fields.push(key.host.as_ref().map_or("", HostName::as_str).to_owned()),
            }
        }
        fields.push(optional(row.sum.sessions));
        fields.extend(figure_fields(row.sum.traffic));
        text.push_str(&line(fields));
    }
    text
}

/// A list of sessions.
#[must_use]
pub fn sessions_csv(list: &SessionList, zone: &TimeZone, view: &View<'_>) -> String {
    let mut header = vec![
        "id",
        "user",
        "method",
        "credential",
        "credential_name",
        "peer_ip",
        "peer_port",
        "local_ip",
        "local_port",
        "pid",
        "opened",
        "closed",
        "reason",
    ];
    header.extend(FIGURES);
    let mut text = line(header);
    for listed in &list.sessions {
        let session = SessionDocument::new(listed, zone, view);
        let mut fields = vec![
            session.id.to_string(),
            session.user,
            session.method.unwrap_or_default(),
            session.credential.unwrap_or_default(),
            session.credential_name.unwrap_or_default(),
        ];
        fields.extend(endpoint_fields(session.peer));
        fields.extend(endpoint_fields(session.local));
        fields.extend([
            optional(session.pid),
            session.opened,
            session.closed.unwrap_or_default(),
            session.reason.unwrap_or_default(),
        ]);
        fields.extend(figure_fields(listed.traffic));
        text.push_str(&line(fields));
    }
    text
}

const FIGURES: [&str; 4] = ["in", "out", "payload_in", "payload_out"];

fn figure_fields(traffic: Traffic) -> impl Iterator<Item = String> {
    figures(traffic)
        .into_iter()
        .map(|(_, figure)| optional(figure))
}

/// Address and port, empty where they are not known.
fn endpoint_fields(endpoint: Option<EndpointDocument>) -> [String; 2] {
    endpoint.map_or_else(Default::default, |known| [known.ip, known.port.to_string()])
}

fn optional(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn line(fields: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let fields = fields
        .into_iter()
        .map(|field| quoted(field.as_ref()))
        .collect::<Vec<_>>();
    fields.join(",") + "\n"
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(
            line(["a b", "a,b", "say \"hi\"", "two\nlines", "=1+1", ""]),
            "a b,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",=1+1,\n"
        );
    }
}
