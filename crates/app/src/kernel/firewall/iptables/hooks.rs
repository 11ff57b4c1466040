//! Which hooks lead sshd's packets into the chain, and which do not belong there.
//!
//! One for each port and direction, before any rule that may accept: then a
//! session's packets walk the chain exactly once, and nobody else's do. The
//! scripts' hooks, which take all TCP, would count the same packets a second time.

use std::collections::BTreeSet;

use super::listing::{CHAIN, Form, Hook, Listing};

/// A packet's way through this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    In,
    Out,
}

impl Way {
    /// The chain that all its packets come through.
    pub(super) fn chain(self) -> &'static str {
        match self {
            Self::In => "INPUT",
            Self::Out => "OUTPUT",
        }
    }

    /// What tells sshd's port.
    pub(super) fn port_option(self) -> &'static str {
        match self {
            Self::In => "--dport",
            Self::Out => "--sport",
        }
    }
}

/// What is not as it has to be.
#[derive(Debug, Default)]
pub(super) struct Inspection<'a> {
    /// Hooks to be removed.
    pub(super) wrong: Vec<&'a Hook>,
    /// Hooks to be inserted, after that.
    pub(super) absent: Vec<(Way, u16)>,
    /// The same for people, and whether the chain is there.
    pub(super) words: Vec<String>,
}

/// Holds what stands against what these ports need.
pub(super) fn inspect<'a>(listing: &'a Listing, ports: &[u16]) -> Inspection<'a> {
    let mut inspection = Inspection::default();
    if !listing.chain_stands {
        inspection.words.push(format!("the chain {CHAIN}"));
    }
    let ports: BTreeSet<u16> = ports.iter().copied().collect();
    for way in [Way::In, Way::Out] {
        for port in &ports {
            inspection.look_at(listing, way, *port);
        }
    }
    for hook in &listing.hooks {
        if let Some(words) = unwanted(hook, &ports) {
            inspection.words.push(words);
            inspection.wrong.push(hook);
        }
    }
    inspection
}

impl<'a> Inspection<'a> {
    fn look_at(&mut self, listing: &'a Listing, way: Way, port: u16) {
        let is_meant = |hook: &&Hook| hook.chain == way.chain() && hook.form == Form::Port(port);
        let standing: Vec<&Hook> = listing.hooks.iter().filter(is_meant).collect();
        let place = format!("in {} for port {port}", way.chain());
        let words = match standing[..] {
            [hook] if !hook.is_late => return,
            [] => format!("its hook {place}"),
            [_] => format!("its hook {place} above rules that accept"),
            [..] => format!("a second hook {place}"),
        };
        self.words.push(words);
        // All copies, since one is removed by its words and not by its place.
        self.wrong.extend(standing);
        self.absent.push((way, port));
    }
}

fn unwanted(hook: &Hook, ports: &BTreeSet<u16>) -> Option<String> {
    let chain = &hook.chain;
    match hook.form {
        Form::Port(port) if ports.contains(&port) => None,
        Form::Port(port) => Some(format!("a hook in {chain} for port {port}, not sshd's")),
        Form::AnyPort => Some(format!("a hook without a port in {chain}")),
        Form::Other => Some(format!("a hook of another form in {chain}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(chain: &str, form: Form, is_late: bool) -> Hook {
        Hook {
            chain: chain.to_owned(),
            form,
            is_late,
            text: Vec::new(),
        }
    }

    fn words(hooks: Vec<Hook>) -> Vec<String> {
        let listing = Listing {
            chain_stands: true,
            hooks,
            ..Listing::default()
        };
        inspect(&listing, &[22]).words
    }

    #[test]
    fn one_hook_a_way_is_right() {
        let right = || {
            vec![
                hook("INPUT", Form::Port(22), false),
                hook("OUTPUT", Form::Port(22), false),
            ]
        };
        assert_eq!(words(right()), [""; 0]);
        let with = |wrong| {
            let mut hooks = right();
            hooks.push(wrong);
            words(hooks)
        };
        assert_eq!(
            with(hook("INPUT", Form::Port(22), false)),
            ["a second hook in INPUT for port 22"]
        );
        assert_eq!(
            with(hook("OUTPUT", Form::AnyPort, false)),
            ["a hook without a port in OUTPUT"]
        );
        assert_eq!(
            with(hook("INPUT", Form::Port(443), false)),
            ["a hook in INPUT for port 443, not sshd's"]
        );
        assert_eq!(
            with(hook("FORWARD", Form::Other, false)),
            ["a hook of another form in FORWARD"]
        );
    }

    #[test]
    fn what_is_missing_is_told() {
        let nothing = Listing::default();
        let inspection = inspect(&nothing, &[2222, 22, 22]);
        assert_eq!(
            inspection.words,
            [
                "the chain useraccount",
                "its hook in INPUT for port 22",
                "its hook in INPUT for port 2222",
                "its hook in OUTPUT for port 22",
                "its hook in OUTPUT for port 2222",
            ]
        );
        assert_eq!(inspection.absent.len(), 4);
    }

    #[test]
    fn a_hook_that_comes_too_late_is_put_first() {
        let hooks = vec![
            hook("INPUT", Form::Port(22), true),
            hook("OUTPUT", Form::Port(22), false),
        ];
        let listing = Listing {
            chain_stands: true,
            hooks,
            ..Listing::default()
        };
        let inspection = inspect(&listing, &[22]);
        assert_eq!(
            inspection.words,
            ["its hook in INPUT for port 22 above rules that accept"]
        );
        assert_eq!(inspection.absent, [(Way::In, 22)]);
        assert_eq!(inspection.wrong.len(), 1);
    }
}
