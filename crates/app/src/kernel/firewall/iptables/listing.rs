//! What `iptables-save -c -t filter` says, and what of it is ours.
//!
//! It reads what any version wrote, and rules that the scripts made. What
//! is not exactly of a session's form is a stranger's, and only counted.

use std::{
    borrow::Cow,
    collections::HashMap,
    net::IpAddr,
    str::{self, FromStr},
};

use anyhow::{Result, ensure};
use sshmeter_core::identity::Endpoint;

use super::{Family, passage::Passages, words};

/// The chain, by the scripts' name.
pub(super) const CHAIN: &str = "useraccount";

/// All that matters of the table.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Whether the chain is there.
    pub(super) chain_stands: bool,
    /// Each jump to it.
    pub(super) hooks: Vec<Hook>,
    /// Sessions' rules, in their order.
    pub(super) rules: Vec<Rule>,
    /// How many other rules are in the chain.
    pub(super) strangers: usize,
}

/// One of a session's two rules.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) client: Endpoint,
    /// Whether it counts what the client sends.
    pub(super) inbound: bool,
    pub(super) label: String,
    pub(super) bytes: u64,
    /// Its number in the chain, from 1.
    pub(super) place: usize,
    /// The rule as listed, beginning with its chain.
    pub(super) text: Vec<u8>,
}

/// A jump to the chain.
#[derive(Debug)]
pub(super) struct Hook {
    /// The chain it stands in.
    pub(super) chain: String,
    /// What it lets through to ours.
    pub(super) form: Form,
    /// Whether a rule above it may accept packets first.
    pub(super) is_late: bool,
    /// The rule as listed, beginning with its chain.
    pub(super) text: Vec<u8>,
}

/// What a hook matches.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// sshd's packets of one port, as we make it.
    Port(u16),
    /// All TCP, as the scripts make it.
    AnyPort,
    /// Anything else.
    Other,
}

/// Reads a listing.
///
/// # Errors
/// Where it is none, or is cut off.
pub(super) fn parse(family: Family, output: &[u8]) -> Result<Listing> {
    let mut reader = Reader::new(family);
    for line in words::lines(output) {
        reader.line(line);
    }
    reader.end()
}

/// A rule of the table, as listed.
struct Listed<'a> {
    chain: &'a str,
    place: usize,
    bytes: u64,
    /// What follows the chain.
    words: &'a [Cow<'a, [u8]>],
    text: &'a [u8],
}

/// A listing that is being read.
struct Reader {
    family: Family,
    listing: Listing,
    /// How many rules of each chain were read.
    places: HashMap<String, usize>,
    /// Where the hooks stand, in their order.
    hook_places: Vec<usize>,
    passages: Passages,
    begun: bool,
    ended: bool,
    is_refused: bool,
}

impl Reader {
    fn new(family: Family) -> Self {
        Self {
            family,
            listing: Listing::default(),
            places: HashMap::new(),
            hook_places: Vec::new(),
            passages: Passages::default(),
            begun: false,
            ended: false,
            is_refused: false,
        }
    }

    fn line(&mut self, line: &[u8]) {
        match line {
            b"*filter" => self.begun = true,
            b"COMMIT" => self.ended = true,
            [b'#', remark @ ..] => {
                self.is_refused |= String::from_utf8_lossy(remark).contains("incompatible");
            }
            [b':', chain @ ..] => {
                self.listing.chain_stands |= first_word(chain) == CHAIN.as_bytes();
            }
            _ => {
                if let Some((bytes, text)) = counted(line) {
                    self.rule(bytes, text);
                }
            }
        }
    }

    fn rule(&mut self, bytes: u64, text: &[u8]) {
        let words = words::words(text);
        let Some((chain, words)) = words.split_first() else {
            return;
        };
        let chain = &*String::from_utf8_lossy(chain);
        let listed = Listed {
            chain,
            place: self.next_place(chain),
            bytes,
            words,
            text,
        };
        // A batch has no way to name a rule of two lines, so it cannot be ours.
        let can_be_ours = !text.contains(&b'\n');
        if chain == CHAIN {
            match session_rule(self.family, &listed).filter(|_| can_be_ours) {
                Some(rule) => self.listing.rules.push(rule),
                None => self.listing.strangers += 1,
            }
        }
        let Some(target) = target(words) else {
            return;
        };
        if target == CHAIN && can_be_ours {
            self.listing.hooks.push(hook(&listed));
            self.hook_places.push(listed.place);
        }
        self.passages.note(chain, &target, listed.place);
    }

    fn next_place(&mut self, chain: &str) -> usize {
        if let Some(place) = self.places.get_mut(chain) {
            *place += 1;
            return *place;
        }
        self.places.insert(chain.to_owned(), 1);
        1
    }

    fn end(mut self) -> Result<Listing> {
        ensure!(
            self.begun || !self.is_refused,
            "the table filter holds rules of nftables that iptables cannot read"
        );
        ensure!(self.begun == self.ended, "the listing is cut off");
        for (hook, place) in self.listing.hooks.iter_mut().zip(self.hook_places) {
            hook.is_late = self.passages.accept_above(&hook.chain, place);
        }
        Ok(self.listing)
    }
}

/// The bytes of a rule, and the rule without what stands before its chain.
fn counted(line: &[u8]) -> Option<(u64, &[u8])> {
    let inside = line.strip_prefix(b"[")?;
    let (counters, rule) = inside.split_at(inside.iter().position(|byte| *byte == b']')?);
    let text = rule.strip_prefix(b"] -A ")?;
    let (_packets, bytes) = str::from_utf8(counters).ok()?.split_once(':')?;
    Some((bytes.parse().ok()?, text.trim_ascii_end()))
}

fn first_word(text: &[u8]) -> &[u8] {
    text.split(u8::is_ascii_whitespace).next().unwrap_or(text)
}

/// Where a rule leads to.
fn target(words: &[Cow<'_, [u8]>]) -> Option<String> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match &word[..] {
            // A comment may say anything.
            b"--comment" => drop(words.next()),
            b"-j" | b"-g" => {
                return Some(String::from_utf8_lossy(words.next()?).into_owned());
            }
            _ => {}
        }
    }
    None
}

fn hook(listed: &Listed<'_>) -> Hook {
    Hook {
        chain: listed.chain.to_owned(),
        form: form(listed).unwrap_or(Form::Other),
        is_late: false,
        text: listed.text.to_owned(),
    }
}

fn form(listed: &Listed<'_>) -> Option<Form> {
    let ours = match listed.chain {
        "INPUT" => "--dport",
        "OUTPUT" => "--sport",
        _ => return None,
    };
    let words: Option<Vec<&str>> = listed.words.iter().map(|word| text(word)).collect();
    match words?[..] {
        ["-p", "tcp", "-j", CHAIN] => Some(Form::AnyPort),
        ["-p", "tcp", "-m", "tcp", option, port, "-j", CHAIN] if option == ours => {
            port.parse().ok().map(Form::Port)
        }
        _ => None,
    }
}

fn session_rule(family: Family, listed: &Listed<'_>) -> Option<Rule> {
    let (mut address, mut port, mut label) = (None, None, None);
    let mut words = listed.words.iter();
    while let Some(option) = words.next() {
        let value = words.next()?;
        let (option, said) = (text(option)?, text(value));
        let is_strange = match option {
            "-s" | "-d" => address
                .replace((option == "-s", whole_address(family, said?)?))
                .is_some(),
            "--sport" | "--dport" => port
                .replace((option == "--sport", said?.parse().ok()?))
                .is_some(),
            "--comment" => label
                .replace(String::from_utf8_lossy(value).into_owned())
                .is_some(),
            "-p" => !matches!(said?, "tcp" | "6"),
            "-m" => !matches!(said?, "tcp" | "comment"),
            _ => true,
        };
        if is_strange {
            return None;
        }
    }
    let ((of_source, ip), (of_source_port, port)) = (address?, port?);
    let label = label.filter(|label| label.starts_with("pid:") && label.contains(" user:"))?;
    (of_source == of_source_port).then(|| Rule {
        client: Endpoint::new(ip, port),
        inbound: of_source,
        label,
        bytes: listed.bytes,
        place: listed.place,
        text: listed.text.to_owned(),
    })
}

/// An address that is of this family, and not a network.
fn whole_address(family: Family, text: &str) -> Option<IpAddr> {
    let (ip, prefix) = text
        .split_once('/')
        .unwrap_or((text, family.whole_prefix()));
    let ip = IpAddr::from_str(ip).ok()?;
    // An IPv4 address written as IPv6 never comes in a packet of TCP over IPv6.
    let fits = prefix == family.whole_prefix()
        && ip == ip.to_canonical()
        && Family::of(Endpoint::new(ip, 0)) == family;
    fits.then_some(ip)
}

fn text(word: &[u8]) -> Option<&str> {
    str::from_utf8(word).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both variants wrote these, of the same rules.
    const SAMPLES: [&str; 2] = [
        include_str!("samples/nft.txt"),
        include_str!("samples/legacy.txt"),
    ];

    fn read(family: Family, rules: &str) -> Listing {
        let text = format!("*filter\n:useraccount - [0:0]\n{rules}COMMIT\n");
        parse(family, text.as_bytes()).unwrap()
    }

    fn client(text: &str) -> Endpoint {
        text.parse::<std::net::SocketAddr>().unwrap().into()
    }

    #[test]
    fn sessions_are_found_among_what_real_programs_list() {
        for sample in SAMPLES {
            let listing = parse(Family::Ipv4, sample.as_bytes()).unwrap();
            assert!(listing.chain_stands);
            let found: Vec<_> = listing
                .rules
                .iter()
                .map(|rule| {
                    (
                        rule.client.to_string(),
                        rule.inbound,
                        &*rule.label,
                        rule.bytes,
                    )
                })
                .collect();
            let first = "192.168.17.3:53014".to_owned();
            let second = "192.168.17.4:53015".to_owned();
            let third = "192.168.17.5:53016".to_owned();
            let fourth = "192.168.17.6:53017".to_owned();
            let expected = [
                (first.clone(), true, "pid:30449 user:jsmith", 3456),
                (first, false, "pid:30449 user:jsmith", u64::MAX),
                (second.clone(), true, r"pid:30450 user:two\040words", 0),
                (second, false, r"pid:30450 user:two\040words", 0),
                (third.clone(), true, "pid:30451 user:it's\"zoë", 0),
                (third, false, "pid:30451 user:it's\"zoë", 0),
                (fourth, true, "pid:30452 user:half", 0),
            ];
            assert_eq!(found, expected);
            assert_eq!(listing.strangers, 9);
        }
    }

    #[test]
    fn hooks_are_told_apart() {
        for sample in SAMPLES {
            let listing = parse(Family::Ipv4, sample.as_bytes()).unwrap();
            let hooks: Vec<_> = listing
                .hooks
                .iter()
                .map(|hook| (&*hook.chain, &hook.form, hook.is_late))
                .collect();
            let expected = [
                ("INPUT", &Form::AnyPort, false),
                ("INPUT", &Form::Port(22), false),
                ("INPUT", &Form::Port(2222), true),
                ("FORWARD", &Form::Other, false),
                ("OUTPUT", &Form::Port(22), false),
            ];
            assert_eq!(hooks, expected);
        }
    }

    #[test]
    fn a_rule_is_kept_in_the_words_it_was_listed_with() {
        let listing = parse(Family::Ipv4, SAMPLES[0].as_bytes()).unwrap();
        let rule = &listing.rules[2];
        assert_eq!(rule.place, 3);
        assert_eq!(
            str::from_utf8(&rule.text).unwrap(),
            r#"useraccount -s 192.168.17.4/32 -p tcp -m tcp --sport 53015 -m comment --comment "pid:30450 user:two\\040words""#
        );
    }

    #[test]
    fn other_versions_write_it_otherwise() {
        let listing = read(
            Family::Ipv4,
            "[1:2] -A useraccount -s 192.0.2.1 -p 6 -m tcp --sport 7 -m comment --comment \"pid:1 user:old\" \n\
             [1:3] -A useraccount -d 192.0.2.1 -p tcp -m comment --comment \"pid:1 user:old\" -m tcp --dport 7\n",
        );
        let found: Vec<_> = listing
            .rules
            .iter()
            .map(|rule| (rule.client, rule.bytes))
            .collect();
        let client = client("192.0.2.1:7");
        assert_eq!(found, [(client, 2), (client, 3)]);
    }

    #[test]
    fn ipv6_is_read_in_its_own_table_only() {
        let rules = "[1:2] -A useraccount -s 2001:db8::7/128 -p tcp -m tcp --sport 7 -m comment --comment \"pid:1 user:a\"\n\
                     [1:2] -A useraccount -s 2001:db8::/64 -p tcp -m tcp --sport 7 -m comment --comment \"pid:1 user:a\"\n\
                     [1:2] -A useraccount -s ::ffff:192.0.2.1/128 -p tcp -m tcp --sport 7 -m comment --comment \"pid:1 user:a\"\n";
        let listing = read(Family::Ipv6, rules);
        assert_eq!(listing.rules.len(), 1);
        assert_eq!(listing.rules[0].client, client("[2001:db8::7]:7"));
        assert_eq!(listing.strangers, 2);
        assert_eq!(read(Family::Ipv4, rules).rules.len(), 0);
    }

    #[test]
    fn an_empty_table_has_nothing_of_ours() {
        let text = b"*filter\n:INPUT ACCEPT [0:0]\n:useraccounts - [0:0]\nCOMMIT\n";
        let listing = parse(Family::Ipv4, text).unwrap();
        assert!(!listing.chain_stands);
        // Old versions say nothing of a table that nobody has used yet.
        assert!(!parse(Family::Ipv4, b"").unwrap().chain_stands);
    }

    #[test]
    fn half_a_listing_is_none() {
        let whole = SAMPLES[0].as_bytes();
        assert!(parse(Family::Ipv4, &whole[..whole.len() / 2]).is_err());
        let refused = b"# Table `filter' is incompatible, use 'nft' tool.\n";
        let error = parse(Family::Ipv4, refused).unwrap_err();
        assert!(error.to_string().contains("nftables"), "{error}");
    }
}
