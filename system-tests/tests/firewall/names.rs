//! A user's name is a stranger's text. It goes into comments that shells, `nft` and
//! people read, and stays one.

use system_tests::{
    Family, Machine, Meter, Tolerance, counts_with, escaped, must_agree, stands_with,
};

use crate::talk::Talk;

/// What ends a word, a command and a comment in the tools' own languages. There
/// is no slash in it, and so no end of a listing's comment: sshd takes what
/// follows one, or a colon, as something else than the name.
const QUOTES: &str = r#"a"b'c * -j DROP; $(id) `id` \"#;

/// 200 characters, of which some are longer in a comment.
fn long() -> String {
    r#"so long a "name" "#.repeat(12)[..199].to_owned() + "!"
}

#[test]
fn in_a_comment_of_nftables() {
    in_a_comment("in_a_comment_of_nftables", Meter::Nftables);
}

#[test]
fn in_a_comment_of_iptables() {
    in_a_comment("in_a_comment_of_iptables", Meter::IptablesNft);
}

#[test]
fn in_a_comment_of_legacy_iptables() {
    in_a_comment("in_a_comment_of_legacy_iptables", Meter::IptablesLegacy);
}

fn in_a_comment(name: &str, meter: Meter) {
    let name = format!("firewall::names::{name}");
    if !stands_with(&name, &["dbclient", "dropbearconvert"]) || !counts_with(&name, meter) {
        return;
    }
    let names = [QUOTES.to_owned(), long(), "zoë".to_owned()];
    let builder = Machine::builder().meter(meter).user(QUOTES);
    let machine = builder.user(&long()).start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let mut talks = Vec::new();
    for family in [Family::V4, Family::V6] {
        for name in &names {
            talks.push(Talk::begin_by_dropbear(&machine, name, family));
        }
    }
    for talk in &mut talks {
        machine.wait_for_rules(talk.visit());
        talk.say(10_000, 100_000);
    }
    one_line_a_rule(&machine, talks.len());
    let visits: Vec<_> = talks.into_iter().map(Talk::end).collect();
    machine.wait_until_quiet();
    machine.wait_for_no_rules();
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}

fn one_line_a_rule(machine: &Machine, sessions: usize) {
    let list = match machine.meter() {
        Meter::Nftables => "nft list table inet sshmeter",
        _ => "iptables -L useraccount -v -n -x; ip6tables -L useraccount -v -n -x",
    };
    let listing = machine.server().shell(list);
    let lines = listing.lines().filter(|line| line.contains("pid:"));
    let rules = lines.clone().count();
    assert_eq!(rules, 2 * sessions, "{listing}");
    for line in lines {
        assert_eq!(line.matches("pid:").count(), 1, "{line}");
        assert_eq!(line.matches("user:").count(), 1, "{line}");
    }
    assert!(listing.contains(&escaped(QUOTES)), "{listing}");
}
