//! A ledger that went back in time, and its mirrors that know what it forgot.

use system_tests::stands;

use crate::stage::{EVER, configure, machine, mirrors, wait_until_up_to_date};

const BACKUP: &str = "/var/lib/sshmeter/backup.db";

#[test]
fn a_restored_ledger_s_mirrors_are_as_it_is() {
    let name = "a_restored_ledger_s_mirrors_are_as_it_is";
    if !stands(&format!("mirror::{name}")) {
        return;
    }
    let mirrors = mirrors(name);
    let machine = machine(&mirrors).start();
    configure(&machine, &mirrors, "");
    let visit = |user| machine.client().visit(user).run("head -c 50000 /dev/zero");
    let daemon = machine.daemon();
    let mut visits = vec![visit("alice")];
    daemon.settle(&visits);
    wait_until_up_to_date(&daemon);
    let _said = daemon.ask().text(&["backup", BACKUP]);
    visits.extend([visit("bob"), visit("alice")]);
    daemon.settle(&visits);
    wait_until_up_to_date(&daemon);
    let answer = daemon.stop();
    let _said = answer.text(&["restore", BACKUP]);
    let daemon = machine.daemon();
    let carol = visit("carol");
    daemon.settle(&[visits.remove(0), carol]);
    wait_until_up_to_date(&daemon);
    let words = daemon.words();
    let answer = daemon.stop();
    for mirror in &mirrors {
        for flags in [
            &["--by", "host,session", "--per", "minute", "--all"][..],
            &["--per", "hour", "--all"],
        ] {
            let flags = [&["report", "--format", "csv"], &EVER[..], flags].concat();
            let of_ledger = answer.text(&flags);
            let of_mirror = answer.text(&[&flags[..], &["--ledger", &mirror.url]].concat());
            assert_eq!(of_mirror, of_ledger, "{}", mirror.url);
            assert!(of_ledger.lines().count() > 2, "{of_ledger}");
        }
    }
    let copied = words.matches("this host's rows are copied anew").count();
    assert_eq!(copied, mirrors.len(), "{words}");
    assert!(!words.contains("lags behind"), "{words}");
}
