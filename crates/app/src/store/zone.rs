//! The zone whose hours, days and months a ledger keeps: fixed when it is begun.

use std::path::Path;

use jiff::tz::TimeZone;
use rusqlite::Connection;
use sshmeter_core::time;

use super::{
    error::{Doing, StoreError},
    schema,
};

/// The name of the zone a new ledger would follow, and what to say about it.
pub(super) fn asked_zone(zone: Option<&str>) -> Result<(String, Vec<String>), StoreError> {
    if let Some(name) = zone.filter(|name| *name != "system") {
        let known = zone_named(name)?;
        return Ok((known.iana_name().unwrap_or(name).to_owned(), Vec::new()));
    }
    let system = TimeZone::try_system().ok();
    let name = system.as_ref().and_then(|zone| zone.iana_name());
    Ok(match name {
        Some(name) => (name.to_owned(), Vec::new()),
        None => (
            "UTC".to_owned(),
            vec![
                "the system's time zone has no name here, so UTC stands for it; \
                 set `ledger.timezone` to choose one"
                    .to_owned(),
            ],
        ),
    })
}

/// The name of an existing ledger's zone.
pub(super) fn ledger_zone(
    connection: &Connection,
    path: &Path,
    doing: Doing,
) -> Result<String, StoreError> {
    schema::meta(connection, "timezone")
        .map_err(|error| StoreError::from_sqlite(path, doing, error))?
        .ok_or_else(|| StoreError::Corrupt {
            path: path.to_owned(),
            detail: "it does not say which time zone it keeps".to_owned(),
        })
}

/// A zone by its name.
pub(super) fn zone_named(name: &str) -> Result<TimeZone, StoreError> {
    time::zone_named(name).ok_or_else(|| StoreError::UnknownZone(name.to_owned()))
}
