//! Clients that come and go by a plan, for `cargo xtask bench churn`: whoever knows
//! a caller's number knows what he does, so that both ends of the wire and the judge
//! need not talk to each other.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

/// How many different users there are.
const USERS: usize = 1000;
/// Callers come from so many addresses, each from every port once.
const ADDRESSES: usize = 4;
/// Which are the first of 10.76.0.0/24 behind the server's.
const FIRST_ADDRESS: usize = 2;
const FIRST_PORT: usize = 10_000;
/// No process of a server gets so far.
const FIRST_PID: usize = 2_000_000;

/// One of them, by number; the plan holds for some 200,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller(pub usize);

impl Caller {
    /// As whom he logs in.
    #[must_use]
    pub fn user(self) -> String {
        format!("u{}", self.0 % USERS)
    }

    /// Where he calls from; nobody else does.
    ///
    /// # Panics
    /// When the plan does not reach so far.
    #[must_use]
    pub fn end(self) -> SocketAddrV4 {
        let address = u8::try_from(FIRST_ADDRESS + self.0 % ADDRESSES).expect("an address");
        let port = u16::try_from(FIRST_PORT + self.0 / ADDRESSES).expect("a port");
        SocketAddrV4::new(Ipv4Addr::new(10, 76, 0, address), port)
    }

    /// Which process of sshd's speaks of him.
    #[must_use]
    pub fn pid(self) -> usize {
        FIRST_PID + self.0
    }

    /// How many bytes he sends.
    #[must_use]
    pub fn sends(self) -> usize {
        300 + self.0 * 37 % 700
    }

    /// How many bytes he gets; no login takes fewer.
    #[must_use]
    pub fn gets(self) -> usize {
        400 + self.0 * 53 % 900
    }

    /// Whether he hardly stays: every second one does.
    #[must_use]
    pub fn hardly_stays(self) -> bool {
        self.0.is_multiple_of(2)
    }

    /// How long he stays.
    #[must_use]
    pub fn stays(self) -> Duration {
        Duration::from_millis(if self.hardly_stays() { 20 } else { 1500 })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_callers_have_the_same_end() {
        let ends: HashSet<SocketAddrV4> = (0..200_000).map(|number| Caller(number).end()).collect();
        assert_eq!(ends.len(), 200_000);
    }
}
