//! CSV for spreadsheets: RFC 4180 quoting, one header line, the JSON's names.
//!
//! Data stays data: nothing is escaped beyond quoting, and an unknown figure is
//! an empty field.

use std::fmt::Display;

use jiff::tz::TimeZone;
use sshmeter_core::{
    identity::HostName,
    report::{By, Report, Who},
    units::Traffic,
};

use super::{
    View,
    json::{EndpointDocument, SessionDocument, by_name, figures},
    moment::Starts,
    number::push_number,
    push_shown,
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
    let mut lines = Lines::default();
    lines.add(header);
    let (rows, _) = view.chosen(report);
    let mut starts = Starts::default();
    for row in rows {
        let key = &row.key;
        lines.field(starts.label(row.start, |start| rfc3339(start.start(), zone)));
        for column in &columns {
            match column {
                By::User => lines.field(&key.user.as_ref().map_or_else(String::new, Who::label)),
                By::Credential => {
                    let credential = key.credential.as_ref().map_or("", |text| text.as_str());
                    lines.field(credential);
                    lines.field(view.keys.get(credential).map_or("", String::as_str));
                }
                By::Peer => lines.optional(key.peer),
                By::Session => lines.optional(key.session),
                By::Host => lines.field(key.host.as_ref().map_or("", HostName::as_str)),
            }
        }
        lines.number(row.sum.sessions);
        lines.figures(row.sum.traffic);
        lines.end();
    }
    lines.text
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
    let mut lines = Lines::default();
    lines.add(header);
    for listed in &list.sessions {
        let session = SessionDocument::new(listed, zone, view);
        lines.optional(Some(session.id));
        lines.field(&session.user);
        for known in [session.method, session.credential, session.credential_name] {
            lines.field(&known.unwrap_or_default());
        }
        for end in [session.peer, session.local] {
            lines.end_of_connection(end);
        }
        lines.optional(session.pid);
        lines.field(&session.opened);
        for known in [session.closed, session.reason] {
            lines.field(&known.unwrap_or_default());
        }
        lines.figures(listed.traffic);
        lines.end();
    }
    lines.text
}

const FIGURES: [&str; 4] = ["in", "out", "payload_in", "payload_out"];

/// Lines on their way; they can be tens of thousands.
#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    /// A whole line.
    fn add(&mut self, fields: impl IntoIterator<Item = impl AsRef<str>>) {
        for field in fields {
            self.field(field.as_ref());
        }
        self.end();
    }

    fn field(&mut self, field: &str) {
        if field.contains([',', '"', '\r', '\n']) {
            self.text.push('"');
            self.text.push_str(&field.replace('"', "\"\""));
            self.text.push('"');
        } else {
            self.text.push_str(field);
        }
        self.text.push(',');
    }

    /// What has nothing to be quoted; empty where it is not known.
    fn optional(&mut self, value: Option<impl Display>) {
        if let Some(value) = value {
            push_shown(&mut self.text, value);
        }
        self.text.push(',');
    }

    fn number(&mut self, number: Option<u64>) {
        if let Some(number) = number {
            push_number(&mut self.text, number);
        }
        self.text.push(',');
    }

    fn figures(&mut self, traffic: Traffic) {
        for (_, figure) in figures(traffic) {
            self.number(figure);
        }
    }

    /// Address and port, empty where they are not known.
    fn end_of_connection(&mut self, endpoint: Option<EndpointDocument>) {
        self.field(endpoint.as_ref().map_or("", |known| &known.ip));
        self.optional(endpoint.map(|known| known.port));
    }

    /// Ends the line; nothing follows its last field.
    fn end(&mut self) {
        self.text.pop();
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let mut lines = Lines::default();
        lines.add(["a b", "a,b", "say \"hi\"", "two\nlines", "=1+1", ""]);
        assert_eq!(
            lines.text,
            "a b,\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",=1+1,\n"
        );
    }
}
