//! The server that the book's examples are about: two months of it, made up, and
//! written by sshmeter's own writer.

use std::path::Path;

use jiff::Timestamp;
use sshmeter::store::Writer;
use sshmeter_core::{
    counter::Reading,
    identity::{BootId, Credential, Endpoint, Pid, SocketCookie, SocketId, UserName},
    ledger::{Batch, Closing, Entry, Login, SessionRecord},
    units::{Flow, Minute, Traffic},
};

/// The examples' present, in [`ZONE`].
pub(super) const NOW: &str = "2026-11-22 18:05:30";
pub(super) const ZONE: &str = "Europe/Berlin";

/// The examples' config.
pub(super) const CONFIG: &str = "[keys]\n\"SHA256:Wk1zoqBgm5eYH0VQ3y2mGcHqRZ6O8uQq0D5a5o0xg5M\" = \"alice-laptop\"\n\
    \"SHA256:9fJv0bq3ZkWg7yQ1mT5n2s8xR4c6uLhVpDaEoIiKjMw\" = \"build-server\"\n";

/// sshd's log of the examples' last hours.
pub(super) const LOG: &str = include_str!("auth.log");

const ALICE: &str = "SHA256:Wk1zoqBgm5eYH0VQ3y2mGcHqRZ6O8uQq0D5a5o0xg5M";
const BUILD: &str = "SHA256:9fJv0bq3ZkWg7yQ1mT5n2s8xR4c6uLhVpDaEoIiKjMw";
const OTHER: &str = "SHA256:uVb3oT7Yw0n6mRkq2J5cXl8GzPdA4hSfEi1DyN9MtQs";

/// A session: who, by which key or, without one, by password, from where, when it
/// began and ended (UTC), why it ended, and in how many minutes it moved how much.
struct Told(
    Option<&'static str>,
    Option<&'static str>,
    &'static str,
    &'static str,
    Option<(&'static str, &'static str)>,
    [u64; 3],
);

#[rustfmt::skip]
const SESSIONS: [Told; 18] = [
    Told(Some("alice"), Some(ALICE), "198.51.100.7", "2026-10-05T07:02:11Z", LEFT("2026-10-05T15:40:02Z"), [480, 512_904, 40_118_250]),
    Told(Some("bob"), None, "203.0.113.20", "2026-10-11T09:15:40Z", LEFT("2026-10-13T21:15:41Z"), [3_600, 310_440, 14_730_911]),
    Told(Some("carol"), Some(OTHER), "2001:db8::ca", "2026-10-19T18:00:05Z", LEFT("2026-10-19T20:30:00Z"), [150, 2_204_118, 801_744]),
    Told(Some("alice"), Some(ALICE), "198.51.100.7", "2026-11-03T08:15:02Z", LEFT("2026-11-03T16:04:41Z"), [460, 1_730_204, 22_650_117]),
    Told(Some("bob"), None, "203.0.113.20", "2026-11-12T10:00:00Z", LEFT("2026-11-13T22:10:48Z"), [2_160, 204_118, 9_630_112]),
    Told(Some("git"), Some(BUILD), "203.0.113.90", "2026-11-18T03:00:02Z", LEFT("2026-11-18T03:21:12Z"), [21, 40_204, 191_882_120]),
    Told(Some("git"), Some(OTHER), "203.0.113.91", "2026-11-19T12:30:00Z", LEFT("2026-11-19T12:31:10Z"), [1, 902_118, 60_210_004]),
    Told(Some("carol"), Some(OTHER), "2001:db8::ca", "2026-11-20T19:12:30Z", LEFT("2026-11-20T23:45:01Z"), [270, 8_330_104, 1_120_944]),
    Told(Some(r"DOM\dave"), None, "192.0.2.180", "2026-11-21T08:00:00Z", Some(("2026-11-21T08:02:31Z", "connection reset")), [2, 31_402_118, 804_111]),
    Told(Some("git"), Some(BUILD), "203.0.113.90", "2026-11-22T03:00:01Z", LEFT("2026-11-22T03:20:58Z"), [20, 41_018, 188_004_727]),
    Told(Some("zoë"), None, "192.0.2.44", "2026-11-22T09:30:00Z", Some(("2026-11-22T09:58:07Z", "timeout")), [27, 120_446, 4_730_114]),
    Told(Some("bob"), None, "203.0.113.20", "2026-11-22T10:04:55Z", LEFT("2026-11-22T15:31:20Z"), [326, 301_118, 11_430_992]),
    Told(None, None, "192.0.2.66", "2026-11-22T13:00:00Z", Some(("2026-11-22T13:00:02Z", "closed")), [1, 2_216, 2_901]),
    Told(None, None, "192.0.2.66", "2026-11-22T13:00:04Z", Some(("2026-11-22T13:00:06Z", "closed")), [1, 2_216, 2_901]),
    Told(None, None, "192.0.2.67", "2026-11-22T14:41:19Z", Some(("2026-11-22T14:41:20Z", "closed")), [1, 1_904, 2_377]),
    Told(Some("alice"), Some(ALICE), "2001:db8::7", "2026-11-22T16:01:11Z", None, [64, 1_304_122, 18_920_554]),
    Told(Some("carol"), Some(OTHER), "2001:db8::ca", "2026-11-22T15:40:00Z", None, [85, 2_004_118, 344_209]),
    Told(Some("root"), Some(ALICE), "198.51.100.7", "2026-11-22T16:58:20Z", LEFT("2026-11-22T16:58:31Z"), [1, 9_418, 61_880]),
];

#[expect(non_snake_case, reason = "it stands among constructors in a table")]
const fn LEFT(at: &'static str) -> Option<(&'static str, &'static str)> {
    Some((at, "disconnected by user"))
}

/// Writes the ledger.
pub(super) fn write_ledger(path: &Path) {
    let mut writer = Writer::open(path, Some(ZONE)).expect("a new ledger");
    let mut batch = Batch::default();
    for (number, told) in (1..).zip(&SESSIONS) {
        told.add_to(&mut batch, number);
    }
    writer.commit(&batch).expect("a commit");
}

impl Told {
    fn add_to(&self, batch: &mut Batch, number: u32) {
        let Self(user, key, peer, opened, end, [minutes, inbound, outbound]) = *self;
        let id = SocketId {
            boot: BootId("3b1f7c1e-5a3d-4c7e-9d53-0d9f6a1c2e44".to_owned()),
            cookie: SocketCookie(number.into()),
        };
        let opened = instant(opened);
        let mut total = Traffic::ZERO;
        for minute in 0..minutes {
            let traffic = traffic(inbound, outbound);
            total = total.plus(traffic);
            batch.entries.push(Entry {
                session: id.clone(),
                minute: Minute(Minute::of(opened).0 + i64::try_from(minute).unwrap_or(0)),
                traffic,
            });
        }
        batch.sessions.push(SessionRecord {
            id,
            peer: Endpoint::new(peer.parse().expect("an address"), 40_000),
            local: Endpoint::new([198, 51, 100, 1].into(), 22),
            pid: Some(Pid(4_000 + number)),
            login: user.map(|user| Login {
                user: UserName::new(user),
                method: Some(key.map_or("password", |_| "publickey").to_owned()),
                credential: key.map(Credential::new),
            }),
            opened,
            closed: end.map(|(at, reason)| Closing {
                at: instant(at),
                reason: reason.to_owned(),
            }),
            reading: Reading(total),
            counters: None,
            total,
        });
    }
}

/// A figure on the wire, and a payload a little below it.
fn traffic(inbound: u64, outbound: u64) -> Traffic {
    let payload = |bytes: u64| bytes / 100 * 96;
    let flow = |inbound, outbound| Some(Flow { inbound, outbound });
    Traffic {
        wire: flow(inbound, outbound),
        payload: flow(payload(inbound), payload(outbound)),
    }
}

fn instant(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}
