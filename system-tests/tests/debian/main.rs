//! An administrator's life with the package, on real Debian systems: installed by
//! apt, it counts what it is not there to see begin, and loses no byte while it is
//! restarted and upgraded, while its log is rotated and sshd restarted, and over a
//! reboot; and it leaves nothing behind when it is purged.
//!
//! Each release is one system and one story, with its own sshd and its own way to
//! log. What is common to them all was tried closer by in the other tests.

mod files;
mod middle;
mod reboot;
mod story;

use system_tests::Release;

#[test]
fn bullseye() {
    story::tell("bullseye", Release::Bullseye);
}

#[test]
fn bookworm() {
    story::tell("bookworm", Release::Bookworm);
}

#[test]
fn trixie() {
    story::tell("trixie", Release::Trixie);
}
