//! Time zones by their names.

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// A zone by its IANA name, as this machine knows it. UTC is known to all, also
/// where no zones are installed.
#[must_use]
pub fn zone_named(name: &str) -> Option<TimeZone> {
    zone_of(jiff::tz::db(), name)
}

fn zone_of(installed: &TimeZoneDatabase, name: &str) -> Option<TimeZone> {
    let is_utc = ["UTC", "Etc/UTC"].contains(&name);
    installed
        .get(name)
        .ok()
        .or_else(|| is_utc.then_some(TimeZone::UTC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_needs_no_zones_to_be_installed() {
        let none = TimeZoneDatabase::none();
        assert_eq!(zone_of(&none, "UTC"), Some(TimeZone::UTC));
        assert_eq!(zone_of(&none, "Etc/UTC"), Some(TimeZone::UTC));
        assert_eq!(zone_of(&none, "Europe/Berlin"), None);
        assert!(zone_named("Europe/Berlin").is_some());
        assert_eq!(zone_named("Europe/Nowhere"), None);
    }
}
