//! Sentences of sshd's that mean nothing to a meter, known so that whatever is
//! not in this table stands out as unrecognised.
//!
//! Nothing is taken from these lines, so a beginning (and a word that must
//! follow somewhere) is enough to know them by.

use super::{message::Meaning, pattern::Pattern, search};

struct Sentence {
    pattern: Pattern,
    start: &'static str,
    then: &'static str,
}

const fn starts(name: &'static str, start: &'static str) -> Sentence {
    then(name, start, "")
}

const fn then(name: &'static str, start: &'static str, then: &'static str) -> Sentence {
    Sentence {
        pattern: Pattern::named(name),
        start,
        then,
    }
}

/// The commonest first.
const TABLE: &[Sentence] = &[
    then("known/failed", "Failed ", " for "),
    starts("known/invalid-user", "Invalid user "),
    starts("known/illegal-user", "Illegal user "),
    starts("known/input-userauth-request", "input_userauth_request: "),
    then("known/postponed", "Postponed ", " for "),
    then("known/partial", "Partial ", " for "),
    starts("known/accepted-key", "Accepted key "),
    starts("known/accepted-certificate", "Accepted certificate ID "),
    then("known/accepted-public-key", "Accepted ", " public key "),
    starts("known/starting-session", "Starting session: "),
    starts("known/close-session", "Close session: "),
    starts("known/user-child", "User child is on pid "),
    starts("known/transferred", "Transferred: sent "),
    starts("known/closing-connection", "Closing connection to "),
    starts("known/kex", "kex_exchange_identification: "),
    starts("known/kex-protocol-error", "kex_protocol_error: "),
    starts("known/bad-protocol", "Bad protocol version identification "),
    starts(
        "known/protocol-versions-differ",
        "Protocol major versions differ for ",
    ),
    starts(
        "known/maximum-attempts",
        "maximum authentication attempts exceeded for ",
    ),
    starts(
        "known/grace-timeout",
        "Timeout before authentication for connection from ",
    ),
    starts(Pattern::LISTENING.name(), "Server listening on "),
    starts("known/signal", "Received signal "),
    starts("known/sighup", "Received SIGHUP; restarting."),
    starts("known/exiting-on-signal", "Exiting on signal "),
    starts("known/exited-max-startups", "exited MaxStartups throttling"),
    starts(
        "known/beginning-max-startups",
        "beginning MaxStartups throttling",
    ),
    starts("known/drop-connection", "drop connection #"),
    starts("known/past-max-startups", "past MaxStartups "),
    starts("known/penalty", "srclimit_penalise: "),
    starts(
        "known/rate-limited",
        "PerSourcePenalties logging rate-limited",
    ),
    starts("known/monitor-message", "mm_"),
    starts("known/monitor", "monitor_read: "),
    starts("known/session-process", "Session process "),
    then("known/not-allowed", "User ", " not allowed"),
    then("known/password-expired", "User ", " password has expired"),
    starts("known/account-expired", "Account "),
    starts("known/root-refused", "ROOT LOGIN REFUSED FROM "),
    starts(
        "known/root-forced-command",
        "Root login accepted for forced command.",
    ),
    starts("known/address-maps", "Address "),
    starts(
        "known/reverse-mapping",
        "reverse mapping checking getaddrinfo for ",
    ),
    starts("known/nasty-ptr", "Nasty PTR record "),
    starts("known/authentication-refused", "Authentication refused: "),
    starts("known/authentication-tried", "Authentication tried for "),
    then(
        "known/certificate-source",
        "cert: ",
        "Authentication tried for ",
    ),
    starts("known/authorized-keys-command", "AuthorizedKeysCommand "),
    starts(
        "known/authorized-principals-command",
        "AuthorizedPrincipalsCommand ",
    ),
    starts("known/could-not-open", "Could not open "),
    starts("known/could-not-load", "Could not load host "),
    starts(
        "known/could-not-get-shadow",
        "Could not get shadow information for ",
    ),
    starts("known/pam", "PAM: "),
    starts("known/pam-service", "PAM service("),
    starts("known/subsystem", "subsystem request for "),
    starts("known/subsystem-old", "Subsystem "),
    starts(
        "known/session-opened-local",
        "session opened for local user ",
    ),
    starts(
        "known/session-closed-local",
        "session closed for local user ",
    ),
    starts("known/sftp", "sent status "),
    starts("known/open", "open \""),
    starts("known/close", "close \""),
    starts("known/refused-forward", "refused local port forward: "),
    starts(
        "known/refused-streamlocal",
        "refused streamlocal port forward: ",
    ),
    starts("known/received-request", "Received request "),
    starts("known/bind", "bind: "),
    starts("known/bind-to", "Bind to port "),
    starts("known/bind-address", "bind ["),
    starts("known/listen-cannot", "Cannot bind any address."),
    starts("known/connect-to", "connect_to "),
    starts("known/channel", "channel "),
    starts("known/channel-setup", "channel_setup_fwd_listener_tcpip: "),
    starts("known/x11", "X11 "),
    starts(
        "known/x11-auth",
        "Failed to allocate internet-domain X11 display socket.",
    ),
    starts("known/write-failed", "Write failed: "),
    starts("known/write-error", "Write error to remote host "),
    starts(
        "known/could-not-write-ident",
        "Could not write ident string to ",
    ),
    starts("known/client-loop", "client_loop: "),
    starts("known/packet-write", "packet_write_wait: "),
    starts("known/packet-poll", "packet_write_poll: "),
    starts("known/dispatch", "ssh_dispatch_run_fatal: "),
    starts("known/dispatch-protocol", "dispatch_protocol_error: "),
    starts("known/bad-packet", "Bad packet length "),
    starts("known/corrupted-mac", "Corrupted MAC on input."),
    starts(
        "known/no-more-methods",
        "No supported authentication methods available",
    ),
    starts("known/no-matching", "no matching "),
    starts("known/signature", "signature algorithm "),
    starts("known/userauth-pubkey", "userauth_pubkey: "),
    starts("known/userauth-hostbased", "userauth_hostbased"),
    starts("known/key-type", "key type "),
    starts("known/refusing-key", "refusing "),
    starts("known/bad-modes", "bad ownership or modes for "),
    starts("known/login-limits", "login_init_entry: "),
    starts("known/lastlog", "lastlog_"),
    starts("known/utmp", "syslogin_"),
    starts("known/chroot", "Changed root directory to "),
    starts("known/setsockopt", "setsockopt "),
    starts("known/deprecated", "rexec line "),
    starts("known/config", "/etc/ssh/"),
    starts("known/no-hostkeys", "no hostkeys available"),
    starts("known/no-hostkeys-named", "sshd: no hostkeys available"),
    starts(
        "known/missing-privsep",
        "Missing privilege separation directory: ",
    ),
    starts("known/scanned", "scanned from "),
    starts("known/probed", "probed from "),
    starts("known/generating-key", "Generating "),
    starts("known/key-generated", "RSA key generation complete."),
    starts("known/last-message", "last message repeated "),
    starts("known/accept", "accept: "),
    starts("known/fork", "fork: "),
    starts("known/oom", "Set /proc/self/oom_score_adj "),
    starts("known/debug-1", "debug1: "),
    starts("known/debug-2", "debug2: "),
    starts("known/debug-3", "debug3: "),
];

/// The names in the table.
pub(super) fn patterns() -> impl Iterator<Item = Pattern> {
    TABLE.iter().map(|sentence| sentence.pattern)
}

/// The sentence this text is, where the table has it.
pub(super) fn find(text: &[u8]) -> Option<Meaning> {
    let first = text.first()?;
    TABLE
        .iter()
        .filter(|sentence| sentence.start.as_bytes().first() == Some(first))
        .find(|sentence| fits(sentence, text))
        .and_then(|sentence| Meaning::nothing(sentence.pattern))
}

fn fits(sentence: &Sentence, text: &[u8]) -> bool {
    text.strip_prefix(sentence.start.as_bytes())
        .is_some_and(|rest| search::find(rest, sentence.then.as_bytes()).is_some())
}
