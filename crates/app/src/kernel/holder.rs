//! Whose a live connection is, by the processes that hold its socket: the
//! kernel's word on a name that a log claims.
//!
//! Nothing is guessed: where we may not look, where names cannot be looked up, or
//! where the server does everything as root, the word is `Unknown`.

use std::collections::HashMap;

use sshmeter_core::session::{Question, Verdict};

use super::process::{self, Process, is_sshds_own, title_user};

/// Answers all questions by one look at the process table. May ask a name
/// service, and so take long.
#[must_use]
pub fn verdicts(questions: &[Question]) -> Vec<Verdict> {
    let mut holders: HashMap<u32, Vec<Process>> = questions
        .iter()
        .map(|question| (question.inode, Vec::new()))
        .collect();
    for process in process::sshd_processes().unwrap_or_default() {
        for inode in process::socket_inodes(process.pid).unwrap_or_default() {
            if let Some(held_by) = holders.get_mut(&inode) {
                held_by.push(process.clone());
            }
        }
    }
    let judge = |question: &Question| judge(&holders[&question.inode], question, &System);
    questions.iter().map(judge).collect()
}

/// What names and uids belong together.
trait Names {
    /// The uid of a name; `None` where there is no such name, or no answer.
    fn uid(&self, name: &str) -> Option<u32>;
    /// Whether a uid has a name.
    fn has_name(&self, uid: u32) -> bool;
    /// Whether sshd's processes run under this uid before a login.
    fn is_sshds_own(&self, uid: u32) -> bool;
}

/// This machine's names, by NSS.
struct System;

impl Names for System {
    fn uid(&self, name: &str) -> Option<u32> {
        uzers::get_user_by_name(name).map(|user| user.uid())
    }

    fn has_name(&self, uid: u32) -> bool {
        uzers::get_user_by_uid(uid).is_some()
    }

    fn is_sshds_own(&self, uid: u32) -> bool {
        uzers::get_user_by_uid(uid).is_some_and(|user| is_sshds_own(&user))
    }
}

/// Names are compared by their uid, as a log may spell one otherwise than the
/// name service does. Root has many names and no process to tell them apart but
/// by sshd's own title, which only root can set.
fn judge(holders: &[Process], question: &Question, names: &impl Names) -> Verdict {
    if holders.is_empty() {
        return Verdict::Unknown;
    }
    let claimed = question.user.as_str();
    let (own, users): (Vec<u32>, Vec<u32>) = holders
        .iter()
        .map(|process| process.uid)
        .filter(|uid| *uid != 0)
        .partition(|uid| names.is_sshds_own(*uid));
    if let Some(user) = users.first() {
        return match names.uid(claimed) {
            Some(uid) if users.contains(&uid) => Verdict::Agrees,
            Some(_) => Verdict::Denies,
            // Whoever knows this user knows his other names too.
            None if names.has_name(*user) && names.uid(claimed).is_none() => Verdict::Denies,
            None => Verdict::Unknown,
        };
    }
    if !own.is_empty() {
        return Verdict::NotYet;
    }
    if holders.iter().any(|process| process.is_dropbear) {
        return Verdict::Unknown;
    }
    let titled = holders
        .iter()
        .find_map(|process| title_user(&process.title));
    match titled {
        Some(titled) if titled == claimed => Verdict::Agrees,
        Some(_) => Verdict::Denies,
        // Nobody yet; only root's login, up to OpenSSH 9.7, has no more
        // processes than that, and a title in a moment.
        None => Verdict::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use sshmeter_core::identity::{Pid, SocketCookie, UserName};

    use super::*;

    struct Known(&'static [(&'static str, u32)]);

    impl Names for Known {
        fn uid(&self, name: &str) -> Option<u32> {
            let known = self.0.iter().find(|(known, _)| *known == name);
            known.map(|(_, uid)| *uid)
        }

        fn has_name(&self, uid: u32) -> bool {
            self.0.iter().any(|(_, known)| *known == uid)
        }

        fn is_sshds_own(&self, uid: u32) -> bool {
            uid == 102
        }
    }

    const PEOPLE: Known = Known(&[
        ("root", 0),
        ("toor", 0),
        ("sshd", 102),
        ("carol", 2003),
        ("CAROL@example.org", 2003),
        ("bob", 2002),
    ]);

    fn holders(all: &[(u32, &str)]) -> Vec<Process> {
        let processes = all.iter().map(|(uid, title)| Process {
            pid: Pid(1),
            uid: *uid,
            is_dropbear: title.starts_with("dropbear"),
            title: (*title).to_owned(),
        });
        processes.collect()
    }

    fn word(all: &[(u32, &str)], user: &str, names: &impl Names) -> Verdict {
        let question = Question {
            cookie: SocketCookie(1),
            inode: 1,
            user: UserName::new(user),
        };
        judge(&holders(all), &question, names)
    }

    #[test]
    fn a_user_s_process_agrees_with_every_name_of_his_and_no_other() {
        let served = [(0, "sshd: carol [priv]"), (2003, "sshd: carol@notty")];
        for (user, verdict) in [
            ("carol", Verdict::Agrees),
            ("CAROL@example.org", Verdict::Agrees),
            ("bob", Verdict::Denies),
            ("root", Verdict::Denies),
            ("nobody-knows-him", Verdict::Denies),
        ] {
            assert_eq!(word(&served, user, &PEOPLE), verdict, "{user}");
        }
    }

    #[test]
    fn before_a_login_nobody_is_there() {
        let early = [(0, "sshd: carol [priv]"), (102, "sshd: carol [net]")];
        for user in ["carol", "sshd", "root", "nobody-knows-him"] {
            assert_eq!(word(&early, user, &PEOPLE), Verdict::NotYet, "{user}");
        }
        let accepted = [(0, "sshd: [accepted]")];
        assert_eq!(word(&accepted, "root", &PEOPLE), Verdict::NotYet);
    }

    #[test]
    fn root_s_names_are_told_by_the_title() {
        for title in ["sshd: root@pts/0", "sshd: root", "sshd-session: root@notty"] {
            let served = [(0, title)];
            assert_eq!(word(&served, "root", &PEOPLE), Verdict::Agrees, "{title}");
            assert_eq!(word(&served, "toor", &PEOPLE), Verdict::Denies, "{title}");
            assert_eq!(word(&served, "bob", &PEOPLE), Verdict::Denies, "{title}");
        }
        let awaited = [(0, "sshd: root [priv]")];
        assert_eq!(word(&awaited, "root", &PEOPLE), Verdict::NotYet);
    }

    #[test]
    fn what_cannot_be_told_is_unknown() {
        assert_eq!(word(&[], "carol", &PEOPLE), Verdict::Unknown);
        let dropbear = [(0, "dropbear -F")];
        assert_eq!(word(&dropbear, "carol", &PEOPLE), Verdict::Unknown);
        let served = [(0, "sshd: carol [priv]"), (2003, "sshd: carol@notty")];
        assert_eq!(word(&served, "carol", &Known(&[])), Verdict::Unknown);
    }
}
