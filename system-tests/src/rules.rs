//! sshmeter's counter rules, as an administrator sees them: by `iptables -L` and
//! `nft list`.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    client::Visit, daemon::Session, keeper::Keeper, machine::Machine, meter::Meter, packets::Flow,
    wait_for,
};

/// A login has its rules within a second. A busy machine takes longer, but shall
/// not take until the next reading, which comes by itself after ten.
const SOON: Duration = Duration::from_secs(6);

/// Nftables has room for 128 bytes of comment, iptables for 256. Escapes are not
/// cut in two.
const LEAST_ROOM: usize = 100;

/// A rule that counts one direction of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The client's end, by which it knows the session.
    pub client: SocketAddr,
    /// Whether it counts what the client sends.
    pub inbound: bool,
    /// Whose it is, for people.
    pub comment: String,
    /// What it has counted.
    pub bytes: u64,
}

/// A session's two rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The client's end.
    pub client: SocketAddr,
    /// What both say about it.
    pub comment: String,
    /// What they have counted.
    pub bytes: Flow,
}

impl Machine {
    /// The rules that stand; none where sshmeter has no table or chain.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        match self.meter() {
            Meter::Sockdiag => Vec::new(),
            Meter::Nftables => elements(self.server()),
            Meter::IptablesNft | Meter::IptablesLegacy => ["iptables", "ip6tables"]
                .into_iter()
                .flat_map(|program| chain(self.server(), program))
                .collect(),
        }
    }

    /// Waits until a visit that goes on is counted by its rules: one each way,
    /// with the pid and the user that sshmeter tells of the session. With a meter
    /// that has no rules there is nothing to wait for.
    ///
    /// # Panics
    /// When they do not come.
    pub fn wait_for_rules(&self, visit: &Visit) {
        if !self.meter().has_rules() {
            return;
        }
        let what = format!("the rules of {} from {}", visit.what, visit.address);
        let mut found = Vec::new();
        let begin = Instant::now();
        while begin.elapsed() < SOON {
            found = self.rules_of(visit.address);
            let sessions = self.open_sessions();
            let session = sessions.iter().find(|one| one.peer.ip == visit.address);
            if let (Some(session), [pair]) = (session, &pairs(&found)[..])
                && Some(&session.user) == visit.user.as_ref()
                && tells(&pair.comment, session)
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("waited in vain for {what}: {found:#?}");
    }

    /// Waits until there are no rules any more.
    ///
    /// # Panics
    /// When they stay.
    pub fn wait_for_no_rules(&self) {
        wait_for("all rules to go", Duration::from_secs(15), || {
            self.rules().is_empty().then_some(())
        });
    }

    /// The rules of all sessions from an address.
    #[must_use]
    pub fn rules_of(&self, address: IpAddr) -> Vec<Rule> {
        let mut rules = self.rules();
        rules.retain(|rule| rule.client.ip() == address);
        rules
    }

    /// What `sshmeter sessions --open` tells.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn open_sessions(&self) -> Vec<Session> {
        let output = self.sshmeter(&["sessions", "--open", "--all", "--format", "json"]);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error} in {output:?}"))
    }
}

/// The pairs among rules, each there once and with one comment.
///
/// # Panics
/// When a session has a rule twice.
#[must_use]
pub fn pairs(rules: &[Rule]) -> Vec<Pair> {
    let other = |one: &Rule| {
        let mut others = rules
            .iter()
            .filter(|other| other.client == one.client && other.inbound != one.inbound);
        let found = others.next();
        assert!(others.next().is_none(), "twice: {rules:#?}");
        found.filter(|other| other.comment == one.comment)
    };
    let inbound = rules.iter().filter(|rule| rule.inbound);
    inbound
        .filter_map(|rule| {
            Some(Pair {
                client: rule.client,
                comment: rule.comment.clone(),
                bytes: Flow {
                    inbound: rule.bytes,
                    outbound: other(rule)?.bytes,
                },
            })
        })
        .collect()
}

/// Whether a comment is that of a session: `pid:PID user:USER`, where a user of
/// whom there is no room for more is cut and ends with a checksum.
#[must_use]
pub fn tells(comment: &str, session: &Session) -> bool {
    let pid = session.pid.map_or("-".to_owned(), |pid| pid.to_string());
    let whole = format!("pid:{pid} user:{}", escaped(&session.user));
    let is_cut = || {
        let (begin, checksum) = comment.rsplit_once('~')?;
        let is_checksum = checksum.len() == 8 && u32::from_str_radix(checksum, 16).is_ok();
        Some(is_checksum && begin.len() > LEAST_ROOM && whole.starts_with(begin))
    };
    comment == whole || is_cut().unwrap_or(false)
}

/// A name as comments have it: what could mislead a reader is written in octal.
#[must_use]
pub fn escaped(name: &str) -> String {
    let mut escaped = String::new();
    for letter in name.chars() {
        if letter.is_alphanumeric() || letter.is_ascii_graphic() && !"\"'\\/`".contains(letter) {
            escaped.push(letter);
            continue;
        }
        for byte in letter.to_string().bytes() {
            escaped.push_str(&format!("\\{byte:03o}"));
        }
    }
    escaped
}

/// The rules of the chain `useraccount`: `PKTS BYTES PROT OPT IN OUT SOURCE
/// DESTINATION tcp spt:PORT /* COMMENT */`.
fn chain(server: &Keeper, program: &str) -> Vec<Rule> {
    let arguments = ["-w", "-L", "useraccount", "-v", "-n", "-x"];
    let output = server.output(program, &arguments);
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    listing.lines().filter_map(listed).collect()
}

fn listed(line: &str) -> Option<Rule> {
    let (matched, comment) = line.split_once(" /* ")?;
    let comment = comment.strip_suffix(" */")?.to_owned();
    let words: Vec<&str> = matched.split_whitespace().collect();
    let [.., source, destination, "tcp", port] = words[..] else {
        return None;
    };
    let bytes = number(words[1]);
    let inbound = port.starts_with("spt:");
    let address = if inbound { source } else { destination };
    let port = port.trim_start_matches("spt:").trim_start_matches("dpt:");
    Some(Rule {
        client: SocketAddr::new(number(address), number(port)),
        inbound,
        comment,
        bytes,
    })
}

/// The elements of the table `inet sshmeter` that have a comment.
fn elements(server: &Keeper) -> Vec<Rule> {
    let listed = server.output("nft", &["-j", "list", "table", "inet", "sshmeter"]);
    let Ok(listing) = serde_json::from_slice::<Value>(&listed.stdout) else {
        return Vec::new();
    };
    let sets = array(&listing["nftables"]).iter().map(|item| &item["set"]);
    sets.flat_map(|set| {
        let inbound = set["name"].as_str().unwrap_or_default().starts_with("in");
        let elements = array(&set["elem"]).iter();
        elements.filter_map(move |element| element_rule(&element["elem"], inbound))
    })
    .collect()
}

fn element_rule(element: &Value, inbound: bool) -> Option<Rule> {
    let key = array(&element["val"]["concat"]);
    let port = u16::try_from(key.get(1)?.as_u64()?).expect("a port");
    Some(Rule {
        client: SocketAddr::new(number(key.first()?.as_str()?), port),
        inbound,
        comment: element["comment"].as_str().unwrap_or_default().to_owned(),
        bytes: element["counter"]["bytes"].as_u64()?,
    })
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse()
        .unwrap_or_else(|_| panic!("{word:?} is in a rule, and nobody understands it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_rule_is_read() {
        let rule = listed(
            "       5     1268            6    --  *      *       10.78.0.1            0.0.0.0/0 \
             \x20           tcp spt:51250 /* pid:1 user:two\\040words */",
        );
        let rule = rule.unwrap();
        assert_eq!(rule.client, "10.78.0.1:51250".parse().unwrap());
        assert_eq!((rule.inbound, rule.bytes), (true, 1268));
        assert_eq!(rule.comment, format!("pid:1 user:{}", escaped("two words")));
        let rule =
            listed("  3   164  tcp      *      *       ::/0      fd00:78::1:1  tcp dpt:7 /* x */");
        let rule = rule.unwrap();
        assert_eq!(rule.client, "[fd00:78::1:1]:7".parse().unwrap());
        assert_eq!((rule.inbound, rule.bytes), (false, 164));
    }
}
