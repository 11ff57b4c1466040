//! Sessions as far as a log alone tells them: who logged in, from where, and
//! what line ended it. No kernel confirms any of it here: it is for looking at a
//! log and, where a live connection agrees, for naming one older than the daemon.
//!
//! At INFO nothing links the lines of a connection but its client's address and
//! port, and the pid of the process that logged it in; both are reused, so a
//! new login takes their place.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::identity::{Credential, Endpoint, Pid, UserName};

use super::event::{Event, Sender, What};

/// What a session ended with where only PAM tells of its end.
const ONLY_PAM: &str = "session closed";

/// A session as its lines tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedSession {
    /// The user.
    pub user: UserName,
    /// How the login was proved; unknown where only PAM tells of it.
    pub method: Option<String>,
    /// The client's end, where a line names it.
    pub peer: Option<Endpoint>,
    /// The key or certificate, where there was one.
    pub credential: Option<Credential>,
    /// The pid that logged it in.
    pub pid: Option<Pid>,
    /// Who says so.
    pub sender: Sender,
    /// When the login was logged.
    pub opened: Option<Timestamp>,
    /// What ended it; `None` where the log does not say.
    pub end: Option<End>,
}

/// A session's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// When the first line about it was logged.
    pub time: Option<Timestamp>,
    /// Why, in the log's words.
    pub reason: String,
}

/// What a line added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// A session began.
    Login,
    /// A session ended.
    Closing,
    /// Nothing that was not known.
    Nothing,
}

/// The sessions of a log, gathered line by line.
#[derive(Debug, Default)]
pub struct History {
    sessions: Vec<LoggedSession>,
    by_peer: HashMap<Endpoint, usize>,
    by_pid: HashMap<Pid, usize>,
}

impl History {
    /// Takes in one event. Events must come in the log's order.
    pub fn note(&mut self, event: &Event) -> Noted {
        match &event.what {
            What::Connected { peer, .. } => {
                self.by_peer.remove(peer);
                Noted::Nothing
            }
            What::Accepted {
                user,
                method,
                peer,
                credential,
            } => self.login(LoggedSession {
                user: user.clone(),
                method: Some(method.clone()),
                peer: *peer,
                credential: credential.clone(),
                pid: event.pid,
                sender: event.sender.clone(),
                opened: event.time,
                end: None,
            }),
            What::Opened { user } => self.opened(event, user),
            What::Closed { user } => {
                let session = event.pid.and_then(|pid| self.by_pid.remove(&pid));
                let named_alike = session.filter(|at| self.sessions[*at].user == *user);
                self.end(named_alike, event.time, ONLY_PAM)
            }
            What::Disconnected { peer, reason, .. } => {
                let session = match peer {
                    Some(peer) => self.by_peer.get(peer),
                    None => event.pid.and_then(|pid| self.by_pid.get(&pid)),
                };
                self.end(session.copied(), event.time, reason)
            }
        }
    }

    /// The sessions, in the order of their logins.
    #[must_use]
    pub fn into_sessions(self) -> Vec<LoggedSession> {
        self.sessions
    }

    fn login(&mut self, session: LoggedSession) -> Noted {
        let told_again = session.peer.and_then(|peer| self.by_peer.get(&peer));
        if let Some(known) = told_again.map(|at| &self.sessions[*at])
            && known.end.is_none()
            && known.pid == session.pid
            && known.user == session.user
        {
            return Noted::Nothing;
        }
        let at = self.sessions.len();
        if let Some(peer) = session.peer {
            self.by_peer.insert(peer, at);
        }
        if let Some(pid) = session.pid {
            self.by_pid.insert(pid, at);
        }
        self.sessions.push(session);
        Noted::Login
    }

    /// PAM's word for a session: the one its pid logged in, or one that sshd
    /// was told to be quiet about.
    fn opened(&mut self, event: &Event, user: &UserName) -> Noted {
        let same = event.pid.and_then(|pid| self.by_pid.get(&pid));
        if same.is_some_and(|at| self.sessions[*at].user == *user) {
            return Noted::Nothing;
        }
        self.login(LoggedSession {
            user: user.clone(),
            method: None,
            peer: None,
            credential: None,
            pid: event.pid,
            sender: event.sender.clone(),
            opened: event.time,
            end: None,
        })
    }

    /// The first line about an end says why; PAM's says only that.
    fn end(&mut self, at: Option<usize>, time: Option<Timestamp>, reason: &str) -> Noted {
        let Some(session) = at.and_then(|at| self.sessions.get_mut(at)) else {
            return Noted::Nothing;
        };
        if let Some(end) = &mut session.end {
            if end.reason == ONLY_PAM && end.time == time {
                end.reason = reason.to_owned();
            }
            return Noted::Nothing;
        }
        session.end = Some(End {
            time,
            reason: reason.to_owned(),
        });
        Noted::Closing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(second: i64, pid: u32, what: What) -> Event {
        Event {
            time: Timestamp::from_second(second).ok(),
            pid: Some(Pid(pid)),
            sender: Sender::Claimed,
            what,
        }
    }

    fn peer(port: u16) -> Endpoint {
        Endpoint::new([192, 0, 2, 1].into(), port)
    }

    fn accepted(name: &str, port: u16) -> What {
        What::Accepted {
            user: UserName::new(name),
            method: "password".to_owned(),
            peer: Some(peer(port)),
            credential: None,
        }
    }

    fn ended(port: u16, reason: &str) -> What {
        What::Disconnected {
            user: None,
            peer: Some(peer(port)),
            reason: reason.to_owned(),
            before_login: false,
        }
    }

    fn opened(name: &str) -> What {
        What::Opened {
            user: UserName::new(name),
        }
    }

    fn closed(name: &str) -> What {
        What::Closed {
            user: UserName::new(name),
        }
    }

    #[test]
    fn the_lines_of_one_session_are_one_session() {
        let mut history = History::default();
        let noted: Vec<Noted> = [
            event(1, 10, accepted("alice", 5)),
            event(1, 10, accepted("alice", 5)),
            event(1, 10, opened("alice")),
            event(9, 12, ended(5, "disconnected by user")),
            event(9, 12, ended(5, "disconnected")),
            event(9, 10, closed("alice")),
        ]
        .iter()
        .map(|event| history.note(event))
        .collect();
        use Noted::{Closing, Login, Nothing};
        assert_eq!(noted, [Login, Nothing, Nothing, Closing, Nothing, Nothing]);
        let sessions = history.into_sessions();
        assert_eq!(sessions.len(), 1);
        let end = sessions[0].end.as_ref().unwrap();
        assert_eq!(end.reason, "disconnected by user");
        assert_eq!(end.time, Timestamp::from_second(9).ok());
    }

    #[test]
    fn ports_and_pids_are_used_again() {
        let mut history = History::default();
        for round in 0..3 {
            let start = round * 100;
            assert_eq!(
                history.note(&event(start, 10, accepted("a", 5))),
                Noted::Login
            );
            assert_eq!(history.note(&event(start, 10, opened("a"))), Noted::Nothing);
            assert_eq!(
                history.note(&event(start + 9, 10, closed("a"))),
                Noted::Closing
            );
        }
        assert_eq!(history.into_sessions().len(), 3);
    }

    #[test]
    fn a_quiet_user_is_known_from_pam() {
        let mut history = History::default();
        assert_eq!(
            history.note(&event(1, 10, opened("two words"))),
            Noted::Login
        );
        assert_eq!(
            history.note(&event(2, 10, closed("two words"))),
            Noted::Closing
        );
        let sessions = history.into_sessions();
        assert_eq!(sessions[0].peer, None);
        assert_eq!(sessions[0].end.as_ref().unwrap().reason, ONLY_PAM);
    }

    #[test]
    fn a_connection_that_never_logs_in_ends_nothing() {
        let mut history = History::default();
        assert_eq!(history.note(&event(1, 10, accepted("a", 5))), Noted::Login);
        let connected = What::Connected {
            peer: peer(5),
            local: None,
        };
        assert_eq!(history.note(&event(50, 11, connected)), Noted::Nothing);
        assert_eq!(
            history.note(&event(51, 11, ended(5, "reset"))),
            Noted::Nothing
        );
        assert_eq!(history.note(&event(52, 12, closed("b"))), Noted::Nothing);
    }
}
