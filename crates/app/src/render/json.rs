//! The JSON of the public contract: times RFC 3339, bytes plain integers,
//! unknown figures null.

use jiff::tz::TimeZone;
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use sshmeter_core::{
    identity::{Credential, HostName},
    report::{By, Per, Report, Row, Sum, Who},
    time::Unit,
    units::Traffic,
};

use super::{
    View, moment::Starts, report_table::columns, rfc3339, text::printable_json, zone_name,
};
use crate::store::{ListedSession, SessionList};

/// A report as one JSON object.
///
/// # Errors
/// None in practice: all keys are texts.
pub fn report_json(report: &Report, view: &View<'_>) -> serde_json::Result<String> {
    let zone = report.calendar.zone();
    let since = report.period.since().start();
    let (rows, _) = view.chosen(report);
    let columns = columns(&report.by);
    let mut starts = Starts::default();
    let mut start_of = |row: &Row| {
        let start = starts.label(row.start, |start| rfc3339(start.start(), zone));
        start.to_owned()
    };
    let document = ReportDocument {
        since: rfc3339(since, zone),
        until: rfc3339(report.period.until().start(), zone),
        timezone: zone_name(zone, since),
        by: report.by.iter().map(|by| by_name(*by)).collect(),
        per: per_name(report.per),
        rows: rows
            .into_iter()
            .map(|row| RowDocument {
                start: start_of(row),
                columns: &columns,
                row,
                view,
            })
            .collect(),
        total: SumDocument(&report.total),
    };
    Ok(printable_json(serde_json::to_string_pretty(&document)?) + "\n")
}

#[derive(Serialize)]
struct ReportDocument<'a> {
    since: String,
    until: String,
    timezone: String,
    by: Vec<&'static str>,
    per: &'static str,
    rows: Vec<RowDocument<'a>>,
    total: SumDocument<'a>,
}

/// What programs call a grouping.
pub(super) fn by_name(by: By) -> &'static str {
    match by {
        By::User => "user",
        By::Credential => "credential",
        By::Peer => "peer",
        By::Session => "session",
        By::Host => "host",
    }
}

fn per_name(per: Per) -> &'static str {
    match per {
        Per::Bucket(Unit::Minute) => "minute",
        Per::Bucket(Unit::Hour) => "hour",
        Per::Bucket(Unit::Day) => "day",
        Per::Bucket(Unit::Month) => "month",
        Per::Total => "total",
    }
}

struct RowDocument<'a> {
    start: String,
    columns: &'a [By],
    row: &'a Row,
    view: &'a View<'a>,
}

impl Serialize for RowDocument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let key = &self.row.key;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("start", &self.start)?;
        for column in self.columns {
            let name = by_name(*column);
            match column {
                By::User => map.serialize_entry(name, &key.user.as_ref().map(Who::label))?,
                By::Credential => {
                    let credential = key.credential.as_ref().map(Credential::as_str);
                    map.serialize_entry(name, &credential)?;
                    let called = credential.and_then(|text| self.view.keys.get(text));
                    map.serialize_entry("credential_name", &called)?;
                }
                By::Peer => map.serialize_entry(name, &key.peer)?,
                By::Session => map.serialize_entry(name, &key.session)?,
                By::Host => map.serialize_entry(name, &key.host.as_ref().map(HostName::as_str))?,
            }
        }
        serialize_sum(&mut map, &self.row.sum)?;
        map.end()
    }
}

struct SumDocument<'a>(&'a Sum);

impl Serialize for SumDocument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        serialize_sum(&mut map, self.0)?;
        map.end()
    }
}

fn serialize_sum<M: serde::ser::SerializeMap>(map: &mut M, sum: &Sum) -> Result<(), M::Error> {
    map.serialize_entry("sessions", &sum.sessions)?;
    for (name, figure) in figures(sum.traffic) {
        map.serialize_entry(name, &figure)?;
    }
    Ok(())
}

/// The four figures by what programs call them.
pub(super) fn figures(traffic: Traffic) -> [(&'static str, Option<u64>); 4] {
    [
        ("in", traffic.wire.map(|flow| flow.inbound)),
        ("out", traffic.wire.map(|flow| flow.outbound)),
        ("payload_in", traffic.payload.map(|flow| flow.inbound)),
        ("payload_out", traffic.payload.map(|flow| flow.outbound)),
    ]
}

/// A list of sessions as one JSON array.
///
/// # Errors
/// None in practice: all keys are texts.
pub fn sessions_json(
    list: &SessionList,
    zone: &TimeZone,
    view: &View<'_>,
) -> serde_json::Result<String> {
    let documents = list
        .sessions
        .iter()
        .map(|session| SessionDocument::new(session, zone, view))
        .collect::<Vec<_>>();
    Ok(printable_json(serde_json::to_string_pretty(&documents)?) + "\n")
}

/// A session as programs see it.
#[derive(Serialize)]
pub(super) struct SessionDocument {
    pub(super) id: i64,
    pub(super) user: String,
    pub(super) method: Option<String>,
    pub(super) credential: Option<String>,
    pub(super) credential_name: Option<String>,
    pub(super) peer: Option<EndpointDocument>,
    pub(super) local: Option<EndpointDocument>,
    pub(super) pid: Option<u32>,
    pub(super) opened: String,
    pub(super) closed: Option<String>,
    pub(super) reason: Option<String>,
    #[serde(rename = "in")]
    pub(super) inbound: Option<u64>,
    #[serde(rename = "out")]
    pub(super) outbound: Option<u64>,
    pub(super) payload_in: Option<u64>,
    pub(super) payload_out: Option<u64>,
}

/// One end of a connection as programs see it.
#[derive(Serialize)]
pub(super) struct EndpointDocument {
    pub(super) ip: String,
    pub(super) port: u16,
}

impl SessionDocument {
    pub(super) fn new(session: &ListedSession, zone: &TimeZone, view: &View<'_>) -> Self {
        let record = &session.record;
        let login = record.login.as_ref();
        let credential = login
            .and_then(|login| login.credential.as_ref())
            .map(|credential| credential.as_str().to_owned());
        let [inbound, outbound, payload_in, payload_out] =
            figures(session.traffic).map(|(_, figure)| figure);
        let endpoint = |endpoint: sshmeter_core::identity::Endpoint| {
            endpoint.known_ip().map(|ip| EndpointDocument {
                ip: ip.to_string(),
                port: endpoint.port(),
            })
        };
        Self {
            id: session.id,
            user: session.who.label(),
            method: login.and_then(|login| login.method.clone()),
            credential_name: credential
                .as_ref()
                .and_then(|credential| view.keys.get(credential).cloned()),
            credential,
            peer: endpoint(record.peer),
            local: endpoint(record.local),
            pid: record.pid.map(|pid| pid.0),
            opened: rfc3339(record.opened, zone),
            closed: record
                .closed
                .as_ref()
                .map(|closing| rfc3339(closing.at, zone)),
            reason: record.closed.as_ref().map(|closing| closing.reason.clone()),
            inbound,
            outbound,
            payload_in,
            payload_out,
        }
    }
}
