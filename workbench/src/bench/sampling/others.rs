//! Few sessions beside very many connections that are not sshd's.

use anyhow::Result;

use super::{
    reading::{Cost, Tools},
    stage::Stage,
    tools,
};
use crate::{
    bench::{crowd::Crowd, goal::Goal, programs::Programs},
    table::grouped,
};

const SESSIONS: usize = 100;
const OTHERS: usize = 50_000;
/// Not sshd's.
const OTHER_PORT: u16 = 8000;

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Others {
    alone: Cost,
    beside: Cost,
    tools: Tools,
}

pub(super) fn measure(programs: &Programs, rounds: usize) -> Result<Others> {
    eprintln!("{}", name());
    let mut stage = Stage::start(programs)?;
    stage.fill(SESSIONS)?;
    let alone = stage.readings(rounds, 0)?;
    let mut crowd = Crowd::new(OTHER_PORT);
    crowd.come(&stage.machine, OTHERS)?;
    let beside = stage.readings(rounds, 0)?;
    let tools = tools(&stage.machine, SESSIONS, OTHERS)?;
    drop(crowd);
    Ok(Others {
        alone,
        beside,
        tools,
    })
}

fn name() -> String {
    format!("{}, beside {} others", grouped(SESSIONS), grouped(OTHERS))
}

impl Others {
    pub(super) fn name(&self) -> String {
        name()
    }

    pub(super) fn row(&self) -> Vec<String> {
        let ratio = |seconds: f64| format!("{:.2}", seconds / self.tools.filtered);
        let Tools { kernel, all, .. } = self.tools;
        let none = String::new();
        vec![
            ratio(kernel),
            ratio(self.beside.whole()),
            none.clone(),
            none,
            ratio(all),
        ]
    }

    pub(super) fn share(&self) -> String {
        self.beside.share()
    }

    pub(super) fn goal(&self) -> Goal {
        let more = (self.beside.whole() - self.alone.whole()).max(0.0);
        let cost = Cost {
            counting: more,
            ledger: 0.0,
        };
        // Their clients' ends are in the kernel's table too.
        let a_socket = cost.a_session(2 * OTHERS);
        Goal::at_most(0.25, "µs a sample for a socket of others", a_socket)
    }
}
