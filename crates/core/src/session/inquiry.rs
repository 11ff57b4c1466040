//! What the kernel is asked about live connections, and what its word does.
//!
//! A file's line is put to the kernel before it names a connection that lives:
//! whose processes hold its socket? The journal's lines and the ledger's names
//! stand without that; where the kernel says otherwise, it is told. Who asks, and
//! how, is not known here.

use std::collections::HashMap;

use super::{
    Moment, Refusal, Table,
    login::{Claim, Standing},
    waiting::Saying,
};
use crate::identity::{SocketCookie, UserName};

/// Whether a live connection is a user's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The connection.
    pub cookie: SocketCookie,
    /// The inode of its socket, by which its processes are found.
    pub inode: u32,
    /// The user.
    pub user: UserName,
}

/// The kernel's word, from the processes that hold a connection's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is served as this user's.
    Agrees,
    /// It is served as another user's.
    Denies,
    /// Nobody has logged in so far.
    NotYet,
    /// It cannot be told: we may not look, names cannot be looked up, the
    /// server does everything as root, or nobody holds the socket any more.
    Unknown,
}

impl Table {
    /// What is to be asked now about logins that wait to name a connection.
    pub fn questions(&mut self, now: Moment) -> Vec<Question> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let due = waiting.iter_mut().filter_map(|waiting| {
            if !waiting.is_due(now.monotonic) {
                return None;
            }
            let question = self.question_of(waiting.claim()?)?;
            waiting.was_asked(now.monotonic);
            Some(question)
        });
        let questions = due.collect();
        self.waiting = waiting;
        questions
    }

    /// What is to be asked now and then: names of live connections on which the
    /// kernel has not spoken yet.
    #[must_use]
    pub fn unsettled(&self) -> Vec<Question> {
        let live = self.roster.live();
        live.filter(|(_, connection)| connection.standing != Standing::Settled)
            .filter_map(|(cookie, connection)| {
                Some(Question {
                    cookie,
                    inode: connection.inode?,
                    user: connection.login.as_ref()?.user.clone(),
                })
            })
            .collect()
    }

    /// Whether a login waits for the kernel's word.
    #[must_use]
    pub fn awaits_a_word(&self) -> bool {
        let mut claims = self.waiting.claims();
        claims.any(|claim| self.question_of(claim).is_some())
    }

    /// Takes the kernel's word on all that it was asked at once: the lines that
    /// wait are gone through once, however many there are.
    pub fn answer(&mut self, answers: &[(Question, Verdict)]) {
        for (question, verdict) in answers {
            self.judge_name(question, *verdict);
        }
        let mut first = HashMap::new();
        for (question, verdict) in answers {
            first.entry(question).or_insert(*verdict);
        }
        self.go_through_lines(|table, waiting| match &waiting.saying {
            Saying::Login(claim) => {
                let Some(question) = table.question_of(claim) else {
                    return false;
                };
                let Some(verdict) = first.get(&question).copied() else {
                    return false;
                };
                waiting.is_too_early = verdict == Verdict::NotYet;
                table.judge_claim(question.cookie, claim, verdict)
            }
            // It may have waited for that login to be settled.
            Saying::End(farewell) => table.tell_end(farewell),
        });
    }

    /// The question that stands between a file's claim and its connection.
    pub(super) fn question_of(&self, claim: &Claim) -> Option<Question> {
        if claim.is_vouched_for() {
            return None;
        }
        let cookie = self.find(claim).ok()??;
        let connection = self.roster.get(cookie)?;
        if connection.closed.is_some() {
            return None;
        }
        Some(Question {
            cookie,
            inode: connection.inode?,
            user: claim.login.user.clone(),
        })
    }

    /// Gives whether the claim is settled by this.
    fn judge_claim(&mut self, cookie: SocketCookie, claim: &Claim, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Agrees => self.attach(cookie, claim.clone(), Standing::Settled),
            Verdict::Unknown if claim.peer.is_none() => return false,
            Verdict::Unknown => self.attach(cookie, claim.clone(), Standing::Unsure),
            Verdict::NotYet => return false,
            Verdict::Denies => {
                if let Some(connection) = self.roster.get(cookie) {
                    self.refusals.push(Refusal::Denied {
                        peer: connection.peer,
                        claimed: claim.login.user.clone(),
                    });
                }
            }
        }
        true
    }

    /// What the kernel's word does to a name that was given before it came.
    fn judge_name(&mut self, question: &Question, verdict: Verdict) {
        let now = self.latest.monotonic;
        let Some(connection) = self.roster.get_mut(question.cookie) else {
            return;
        };
        let is_named = connection
            .login
            .as_ref()
            .is_some_and(|login| login.user == question.user);
        if !is_named || connection.standing == Standing::Settled {
            return;
        }
        let (peer, claimed) = (connection.peer, question.user.clone());
        let refusal = match verdict {
            Verdict::Unknown => return,
            Verdict::Agrees => {
                connection.standing = Standing::Settled;
                return;
            }
            Verdict::Denies => Refusal::Denied { peer, claimed },
            // It is asked again, and a while later it is not.
            Verdict::NotYet if connection.may_be_at_its_edge(now) => return,
            Verdict::NotYet => Refusal::NoLogin { peer, claimed },
        };
        self.refusals.push(refusal);
        if connection.standing == Standing::Unsure {
            connection.take_name_back();
            self.outbox.session_changed(question.cookie);
        } else {
            connection.standing = Standing::Settled;
        }
    }
}
