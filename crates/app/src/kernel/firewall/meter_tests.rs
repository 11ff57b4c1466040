//! The meter beside real sockets, with rules that do as each story says: what a
//! firewall does on its own, none can be made to do at a chosen moment.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::{TcpListener, TcpStream},
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use sshmeter_core::{identity::UserName, units::Flow};

use super::*;

/// What the rules do, and what was done to them.
#[derive(Debug, Default)]
struct Script {
    rules: HashMap<Endpoint, Standing>,
    missing: Vec<String>,
    broken: Option<&'static str>,
    /// It can be read and not changed.
    is_fixed: bool,
    /// Added to every counter at each look.
    traffic: u64,
    stood: usize,
    changes: Vec<Change>,
}

#[derive(Clone, Debug, Default)]
struct Scripted(Rc<RefCell<Script>>);

impl Rules for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn stand(&mut self, _ports: &[u16]) -> Result<()> {
        let mut script = self.0.borrow_mut();
        if script.is_fixed {
            bail!("it is fixed");
        }
        script.stood += 1;
        script.missing.clear();
        Ok(())
    }

    fn read(&mut self, _ports: &[u16]) -> Result<Standings> {
        let mut script = self.0.borrow_mut();
        if let Some(words) = script.broken {
            bail!("{words}");
        }
        let traffic = flow(script.traffic);
        for rule in script.rules.values_mut() {
            rule.bytes = rule.bytes.map(|bytes| bytes.plus(traffic));
        }
        Ok(Standings {
            rules: script.rules.clone(),
            missing: script.missing.clone(),
        })
    }

    fn change(&mut self, change: &Change) -> Result<HashMap<Endpoint, Flow>> {
        let mut script = self.0.borrow_mut();
        if let Some(words) = script.broken {
            bail!("{words}");
        }
        script.changes.push(change.clone());
        let mut last = HashMap::new();
        for peer in &change.remove {
            if let Some(bytes) = script.rules.remove(peer).and_then(|rule| rule.bytes) {
                last.insert(*peer, bytes);
            }
        }
        for session in &change.add {
            let label = session.user.as_str().to_owned();
            let bytes = Some(Flow::default());
            script.rules.insert(session.peer, Standing { label, bytes });
        }
        Ok(last)
    }

    fn label(&self, session: &Counted) -> String {
        session.user.as_str().to_owned()
    }

    fn clear(&mut self) -> Result<bool> {
        Ok(false)
    }
}

fn flow(bytes: u64) -> Flow {
    Flow {
        inbound: bytes,
        outbound: bytes,
    }
}

/// A connection, the meter that counts it, and its rules.
struct Stage {
    meter: FirewallMeter,
    script: Scripted,
    client: TcpStream,
    server: Option<TcpStream>,
}

impl Stage {
    fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let server = Some(listener.accept().unwrap().0);
        let script = Scripted::default();
        let sockets = SocketMeter::open(Endings::open().unwrap()).unwrap();
        let mut meter = FirewallMeter::new(sockets, Box::new(script.clone()));
        meter.watch(&[address.port()]).unwrap();
        Self {
            meter,
            script,
            client,
            server,
        }
    }

    fn peer(&self) -> Endpoint {
        self.client.local_addr().unwrap().into()
    }

    fn count(&mut self) -> Recount {
        self.meter.count(vec![Counted {
            peer: self.peer(),
            pid: None,
            user: UserName::new("alice"),
        }])
    }

    /// What a reading says of the connection's rule.
    fn reading(&mut self) -> Option<RuleReading> {
        self.meter.connections().unwrap().sockets[0]
            .rule
            .as_deref()
            .copied()
    }

    fn words(&mut self) -> Vec<String> {
        let notices = self.meter.take_notices().into_iter();
        let words = notices.map(|notice| match notice {
            Notice::Trouble(words) | Notice::Well(words) => words,
        });
        words.collect()
    }

    fn end(&mut self) -> Socket {
        self.client.shutdown(std::net::Shutdown::Both).unwrap();
        drop(self.server.take());
        let begin = Instant::now();
        loop {
            let heard = self.meter.endings(&mut |_| ());
            if let Some(socket) = heard.sockets.into_iter().next() {
                return socket;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(10),
                "no end was heard"
            );
        }
    }
}

#[tokio::test]
async fn a_rule_is_new_at_its_first_reading_and_never_again() {
    let mut stage = Stage::new();
    assert_eq!(stage.reading(), None);
    assert!(stage.count().has_begun);
    assert!(!stage.count().has_begun, "it stands");
    assert!(stage.reading().unwrap().is_new);
    assert!(!stage.reading().unwrap().is_new);
    assert_eq!(stage.words(), [""; 0]);
}

#[tokio::test]
async fn both_looks_are_told() {
    let mut stage = Stage::new();
    stage.count();
    stage.script.0.borrow_mut().traffic = 7;
    let reading = stage.reading().unwrap();
    assert_eq!((reading.before, reading.after), (flow(7), flow(14)));
}

#[tokio::test]
async fn what_is_missing_is_put_back_and_told_and_not_believed() {
    let mut stage = Stage::new();
    stage.count();
    stage.reading();
    stage.script.0.borrow_mut().missing.push("the hook".into());
    assert_eq!(stage.reading(), None);
    assert_eq!(
        stage.words(),
        ["put back in the firewall: the hook; what it missed is counted by the sockets"]
    );
    assert_eq!(stage.script.0.borrow().stood, 2);
    assert!(!stage.reading().unwrap().is_new, "the rule itself stood");
}

#[tokio::test]
async fn a_rule_that_was_taken_away_is_put_anew() {
    let mut stage = Stage::new();
    stage.count();
    stage.reading();
    stage.script.0.borrow_mut().rules.clear();
    assert_eq!(stage.reading(), None);
    let words = stage.words();
    assert!(words[0].contains("the rules of 1 session;"), "{words:?}");
    assert!(stage.reading().unwrap().is_new);
}

#[tokio::test]
async fn a_half_of_a_rule_is_put_anew() {
    let mut stage = Stage::new();
    stage.count();
    stage.reading();
    let peer = stage.peer();
    stage
        .script
        .0
        .borrow_mut()
        .rules
        .get_mut(&peer)
        .unwrap()
        .bytes = None;
    assert_eq!(stage.reading(), None);
    let last = stage.script.0.borrow().changes.last().cloned().unwrap();
    assert_eq!((last.remove.len(), last.add.len()), (1, 1));
    assert!(stage.reading().unwrap().is_new);
}

#[tokio::test]
async fn a_firewall_that_fails_is_told_once_and_sockets_count_on() {
    let mut stage = Stage::new();
    stage.count();
    stage.reading();
    stage.script.0.borrow_mut().broken = Some("it is locked");
    for _ in 0..2 {
        assert_eq!(stage.reading(), None);
        assert_eq!(stage.count(), Recount::default());
    }
    stage.script.0.borrow_mut().broken = None;
    assert!(stage.reading().is_some());
    assert_eq!(
        stage.words(),
        [
            "the firewall's counters cannot be used, the sockets' count meanwhile: it is locked",
            "the firewall's counters can be used again"
        ]
    );
}

#[tokio::test]
async fn a_firewall_that_cannot_be_mended_is_told_once() {
    let mut stage = Stage::new();
    stage.count();
    stage.reading();
    {
        let mut script = stage.script.0.borrow_mut();
        script.missing.push("the hook".into());
        script.is_fixed = true;
    }
    for _ in 0..3 {
        assert_eq!(stage.reading(), None);
    }
    let words = stage.words();
    assert_eq!(words.len(), 1, "{words:?}");
    stage.script.0.borrow_mut().is_fixed = false;
    stage.reading();
    assert_eq!(stage.words().len(), 2, "put back, and usable again");
}

#[tokio::test]
async fn the_last_figure_comes_with_the_end() {
    let mut stage = Stage::new();
    stage.count();
    stage.reading();
    let peer = stage.peer();
    stage
        .script
        .0
        .borrow_mut()
        .rules
        .get_mut(&peer)
        .unwrap()
        .bytes = Some(flow(900));
    let ended = stage.end();
    assert_eq!(ended.rule.as_deref(), Some(&RuleReading::last(flow(900))));
    assert!(stage.script.0.borrow().rules.is_empty());
    assert_eq!(stage.meter.connections().unwrap().removed, []);
}

#[tokio::test]
async fn who_is_counted_no_more_leaves_a_last_figure() {
    let mut stage = Stage::new();
    stage.count();
    let recount = stage.meter.count(Vec::new());
    assert_eq!(recount.removed, [(stage.peer(), flow(0))]);
    assert!(!recount.has_begun);
}

#[tokio::test]
async fn rules_of_an_earlier_run_go_on_counting() {
    let mut stage = Stage::new();
    let (peer, label) = (stage.peer(), "alice".to_owned());
    let bytes = Some(flow(500));
    let standing = Standing { label, bytes };
    stage.script.0.borrow_mut().rules.insert(peer, standing);
    let reading = stage.reading().unwrap();
    assert_eq!(reading, RuleReading::last(flow(500)));
    assert!(!stage.count().has_begun);
    assert!(stage.script.0.borrow().changes.is_empty());
}
