//! What happens to the service, its log and sshd while people work.

use system_tests::{Apt, Family, Logins, Machine, Release, Visit};

/// All of it, and the visits that came and went meanwhile.
pub(crate) fn break_in(machine: &Machine, release: Release, apt: &Apt) -> Vec<Visit> {
    let server = machine.server();
    let logins = Logins::start(machine.client(), 1, "head -c 50000 /dev/zero");
    server.shell("systemctl restart sshmeter");
    server.shell(rotation(release));
    let mut visits = logins.finish();
    visits.extend(apt.upgrade(machine));
    machine.installed().wait_until_active();
    server.shell("systemctl restart ssh");
    machine.wait_for_port(22);
    let visit = |user| machine.client().visit(user);
    visits.push(
        visit("alice")
            .over(Family::V6)
            .run("head -c 50000 /dev/zero"),
    );
    visits.push(visit("carol").scp_up(2_000_000));
    visits
}

/// A log's rotation, by who does it on the release. What the journal may throw
/// away it throws away at once.
fn rotation(release: Release) -> &'static str {
    match release {
        Release::Bullseye => {
            "logrotate --force /etc/logrotate.d/rsyslog; [ -s /var/log/auth.log.1 ]"
        }
        Release::Bookworm | Release::Trixie => "journalctl --rotate --vacuum-files=1",
    }
}
