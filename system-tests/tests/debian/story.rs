//! One system from before the package to after it.

use std::time::Duration;

use system_tests::{
    Apt, Family, Machine, OpenVisit, Release, Service, Tolerance, Visit, every_kind, judge,
    package_for, stands_on_debian, wait_for,
};

use crate::{files, middle, reboot};

/// Dropbear's port, on the system that has it.
const DROPBEAR: u16 = 2222;

/// The least that is judged.
const SESSIONS: usize = 20;

pub(crate) fn tell(name: &str, release: Release) {
    let name = format!("debian::{name}");
    if !stands_on_debian(&name, release) {
        return;
    }
    let Some(package) = package_for(release, &name) else {
        return;
    };
    let apt = Apt::with(&package);
    let (folder, place) = apt.folder();
    let mut machine = Machine::builder()
        .debian(release)
        .shared(folder, place)
        .ports(&[22, DROPBEAR])
        .start();
    prepare(&machine, release);
    machine.serve();
    let files = files::all(&machine);
    let capture = machine.capture();
    // Older than the package, and counted from their first byte.
    let steady = [
        steady(&machine, "alice", Family::V4),
        steady(&machine, "bob", Family::V6),
    ];

    apt.install(&machine);
    it_runs_and_will_run(&machine.installed());
    configure(&machine, release);
    the_doctor_is_content(&machine);
    let mut visits = people(&machine, release);
    visits.extend(middle::break_in(&machine, release, &apt));
    visits.extend(steady.map(OpenVisit::finish));

    let (over, capture) = reboot::with_a_session_open(&mut machine, release, capture);
    the_doctor_is_content(&machine);
    let client = machine.client();
    visits.push(client.visit("carol").scp_up(500_000));
    visits.push(
        client
            .visit("bob")
            .over(Family::V6)
            .by_password()
            .run("true"),
    );

    machine.wait_until_quiet();
    let mut truth = capture.finish();
    let service = machine.installed();
    service
        .ask()
        .settle(&[&visits[..], std::slice::from_ref(&over.visit)].concat());
    let mut sessions = service.ask().sessions();
    let kept = over.must_be_kept(&mut truth, &mut sessions);
    let judgement = judge(&visits, &truth, &sessions, Tolerance::Exact);
    judgement.must_hold(&service.words());
    assert!(judgement.sessions >= SESSIONS, "{judgement}");
    let _sums = service.ask().text(&["verify"]);
    println!("{release}: {judgement}; {kept}");

    apt.remove(&machine);
    it_is_stopped_and_its_ledger_kept(&machine);
    apt.purge(&machine);
    files::must_be_these(&machine, &files);
}

/// On 13 systemd listens for sshd, as an administrator may choose.
fn prepare(machine: &Machine, release: Release) {
    if release == Release::Trixie {
        machine.server().shell(
            "systemctl disable --quiet --now ssh.service
            systemctl enable --quiet --now ssh.socket",
        );
    }
    for port in [22]
        .into_iter()
        .chain(has_dropbear(release).then_some(DROPBEAR))
    {
        machine.wait_for_port(port);
    }
}

fn has_dropbear(release: Release) -> bool {
    release == Release::Trixie
}

/// On 11 rsyslog's file is read; elsewhere there is none, and no word of config.
fn configure(machine: &Machine, release: Release) {
    if release == Release::Bullseye {
        machine.server().shell(
            "printf '[source]\\nkind = \"file\"\\n' >/etc/sshmeter/config.toml
            systemctl restart sshmeter",
        );
    }
}

fn it_runs_and_will_run(service: &Service<'_>) {
    service.wait_until_active();
    assert_eq!(service.property("UnitFileState"), "enabled");
}

fn it_is_stopped_and_its_ledger_kept(machine: &Machine) {
    assert_eq!(machine.installed().property("ActiveState"), "inactive");
    machine.server().shell(
        "! pgrep -x sshmeter; ! command -v sshmeter
        [ -s /var/lib/sshmeter/ledger.db ]; [ -s /etc/sshmeter/config.toml ]",
    );
}

/// Something moves on it all the time, until it is finished: `read` says more than
/// 128 where nothing came, and 1 where nothing will.
fn steady(machine: &Machine, user: &str, family: Family) -> OpenVisit {
    let command = "while read -t 0.1 line; [ $? -gt 128 ]; do head -c 50000 /dev/zero; done";
    let visit = machine.client().visit(user).over(family);
    visit.open(&[], Some(command))
}

fn the_doctor_is_content(machine: &Machine) {
    let service = machine.installed();
    service.wait_until_active();
    let health = service.ask().text(&["doctor"]);
    let bad = health.lines().find(|line| !line.starts_with("ok "));
    assert_eq!(bad, None, "{health}");
}

/// Every kind of session over one family, everybody over the other, and who has
/// no right to be there.
fn people(machine: &Machine, release: Release) -> Vec<Visit> {
    let (kinds, names) = match release {
        Release::Bookworm => (Family::V6, Family::V4),
        Release::Bullseye | Release::Trixie => (Family::V4, Family::V6),
    };
    let mut visits = every_kind(machine, kinds);
    let client = machine.client();
    for user in ["root", "alice", "two words", r"DOM\carol", "zoë"] {
        visits.push(
            client
                .visit(user)
                .over(names)
                .run("head -c 20000 /dev/zero"),
        );
    }
    visits.push(
        client
            .visit("bob")
            .over(names)
            .by_password()
            .scp_up(300_000),
    );
    visits.push(client.visit("carol").over(names).sftp("ls /\n"));
    visits.push(client.visit("bob").fail());
    if has_dropbear(release) {
        for (user, family) in [("alice", kinds), ("carol", names)] {
            let visit = client.visit(user).over(family).port(DROPBEAR);
            visits.push(visit.run("head -c 200000 /dev/zero"));
        }
    }
    visits
}

/// Waits until the ledger has a session that moved so much, under its user's name:
/// what it does not have, a power cut takes.
pub(crate) fn wait_until_counted(service: &Service<'_>, visit: &Visit, payload_out: u64) {
    wait_for("name and figures", Duration::from_secs(30), || {
        let sessions = service.ask().sessions();
        let session = sessions
            .iter()
            .find(|session| session.peer.ip == visit.address)?;
        let is_named = visit.user.as_ref() == Some(&session.user);
        (is_named && session.payload_out >= Some(payload_out)).then_some(())
    });
}
