//! The package's version: the program's, Debian's revision, and the release that
//! it was built on, since a program is linked with that release's libraries.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

/// The version of a package that is built on such a system.
pub(super) fn version(os_release: &Path, revision: u32) -> Result<String> {
    let text = fs::read_to_string(os_release)
        .with_context(|| format!("{} cannot be read", os_release.display()))?;
    Ok(format!(
        "{}-{revision}{}",
        env!("CARGO_PKG_VERSION"),
        suffix(&text)
    ))
}

/// As Debian's own rebuilds for a release are called: 0.1.0-1~deb12u1 comes after
/// 0.1.0-1~deb11u1, so a machine that goes to the next release gets its package,
/// and before 0.1.0-1, which a distribution's own package would be.
fn suffix(os_release: &str) -> String {
    let value = |name: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.trim_matches('"'))
    };
    match (value("ID"), value("VERSION_ID")) {
        (Some("debian"), Some(number)) => format!("~deb{number}u1"),
        (Some(name), Some(number)) => format!("~{name}{number}.1"),
        // Debian's testing and unstable have no number.
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::suffix;

    #[test]
    fn the_next_release_has_the_newer_package() {
        let versions = [
            format!("1-1{}", suffix("ID=debian\nVERSION_ID=\"9\"\n")),
            format!("1-1{}", suffix("ID=debian\nVERSION_ID=\"12\"\n")),
            format!("1-1{}", suffix("ID=debian\nPRETTY_NAME=sid\n")),
            format!("1-2{}", suffix("ID=debian\nVERSION_ID=\"12\"\n")),
        ];
        assert_eq!(versions[1], "1-1~deb12u1");
        for pair in versions.windows(2) {
            let older = Command::new("dpkg")
                .args(["--compare-versions", &pair[0], "lt", &pair[1]])
                .status();
            // Where there is no dpkg there is no package either.
            assert!(older.is_err() || older.unwrap().success(), "{pair:?}");
        }
    }
}
