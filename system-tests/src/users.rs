//! The people of a machine, some with names that are hard to carry through a log.

/// A user of a [`crate::Machine`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The user's number.
    pub uid: u32,
}

impl User {
    /// The home folder: plain, whatever the name is.
    #[must_use]
    pub fn home(&self) -> String {
        format!("/home/{}", self.uid)
    }

    /// The private key on the client's side.
    #[must_use]
    pub fn key(&self) -> String {
        format!("/mnt/keys/{}", self.uid)
    }
}

/// The password that every user has.
pub(crate) const PASSWORD: &str = "right horse";

/// `openssl passwd -6 -salt sshmeter 'right horse'`
const PASSWORD_HASH: &str = "$6$sshmeter$6nIJzqAN8rlyFnxnCHzr3hpYzLsh5RJPWN/wCLvA1KyeY.EAUhNyH1JrmSW7E2xSqHikRNCAjB1WzW0SP8drY.";

/// alice, bob and carol, and those with names that break naive log readers.
#[must_use]
pub fn standard_users() -> Vec<User> {
    [
        "root",
        "alice",
        "bob",
        "carol",
        r"DOM\carol",
        "zoë",
        "two words",
        "from 10.78.0.1 port 22 ssh2",
        "a-name-that-is-longer-than-any-utmp-field-takes",
    ]
    .into_iter()
    .zip(2000..)
    .map(|(name, uid)| User {
        name: name.to_owned(),
        uid: if name == "root" { 0 } else { uid },
    })
    .collect()
}

/// A script, run in the machine's future root folder, that makes the users and
/// lets each in by the key whose public half follows on the same line.
pub(crate) fn script(users: &[User], public_keys: &[String]) -> String {
    let mut script = String::new();
    for (user, key) in users.iter().zip(public_keys) {
        let (uid, home) = (user.uid, user.home());
        let name = quoted(&user.name);
        if uid == 0 {
            script.push_str("sed -i '/^root:/d' etc/passwd etc/shadow\n");
        }
        script.push_str(&format!(
            "printf '%s:x:{uid}:{uid}::{home}:/bin/bash\\n' {name} >>etc/passwd\n\
             printf '%s:%s:19000:0:99999:7:::\\n' {name} '{PASSWORD_HASH}' >>etc/shadow\n\
             mkdir -p .{home}/.ssh\n\
             echo {key} >.{home}/.ssh/authorized_keys\n\
             chown -R {uid}:{uid} .{home}\n\
             chmod -R go= .{home}\n",
            key = quoted(key),
        ));
    }
    script
}

/// A word that the shell takes as it is.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
