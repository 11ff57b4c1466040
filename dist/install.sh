#!/bin/sh
# Installs sshmeter from the folder that it was unpacked into, on a Linux that has
# no package of it; run again from a newer folder, it upgrades. A POSIX shell and
# busybox are all it needs. Beside the files that `files` lists it makes the config,
# where there is none, and with systemd a user and a service; nothing else.
set -eu
umask 022

usage() {
    cat <<END
usage: ./install.sh [--prefix FOLDER] [--uninstall]

  --prefix FOLDER  install below FOLDER; without it, below \$PREFIX or /usr/local
  --uninstall      remove what was installed; the config and the ledger stay

With \$DESTDIR set, files are put below that folder and nothing is started.
END
}

fail() {
    code=$1
    printf 'error: %s\nhint: %s\n' "$2" "$3" >&2
    exit "$code"
}

say() {
    printf '%s\n' "$*"
}

# What is installed: a mode, a file of this folder, and its place.
files() {
    cat <<END
755 sshmeter $prefix/bin/sshmeter
644 completions/sshmeter.bash $prefix/share/bash-completion/completions/sshmeter
644 completions/sshmeter.zsh $prefix/share/zsh/site-functions/_sshmeter
644 completions/sshmeter.fish $prefix/share/fish/vendor_completions.d/sshmeter.fish
END
    for page in man/*; do
        say "644 $page $prefix/share/man/man${page##*.}/${page#man/}"
    done
    find ./*.md LICENSE* copyright config.toml docs systemd -type f | while read -r page; do
        say "644 $page $documents/$page"
    done
}

# What is installed for systemd beside that.
systemd_files() {
    cat <<END
644 systemd/sshmeter.service /etc/systemd/system/sshmeter.service
644 systemd/sysusers.conf /etc/sysusers.d/sshmeter.conf
END
}

# A file is put beside its place and moved there: what runs, runs on, and nobody
# ever sees half of one.
put() {
    mkdir -p "$destination${3%/*}"
    case $2 in
    *.service) sed "s|/usr/bin/sshmeter|$prefix/bin/sshmeter|" "$2" >"$destination$3.new" ;;
    *) cp "$2" "$destination$3.new" ;;
    esac
    chmod "$1" "$destination$3.new"
    mv -f "$destination$3.new" "$destination$3"
}

put_all() {
    while read -r mode from to; do
        put "$mode" "$from" "$to"
    done
}

remove_all() {
    while read -r _ _ to; do
        rm -f "$destination$to"
    done
}

# Whether sshd's log is not where it is looked for by default, but with all others.
log_is_elsewhere() {
    [ -z "$destination" ] && [ ! -e /var/log/auth.log ] && [ ! -e /var/log/secure ] &&
        [ ! -e /run/systemd/journal/socket ] && [ -e /var/log/messages ]
}

make_config() {
    config=/etc/sshmeter/config.toml
    if [ -e "$destination$config" ]; then
        say "$config stays as it is"
        return
    fi
    put 644 config.toml $config
    if log_is_elsewhere; then
        sed 's|^#path = "auto"|path = "/var/log/messages"|' config.toml >$config
        say "sshd's log is taken to be /var/log/messages ($config)"
    fi
}

make_user() {
    if grep -q '^sshmeter:' /etc/passwd; then
        return
    fi
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers /etc/sysusers.d/sshmeter.conf
    elif command -v useradd >/dev/null; then
        useradd --system --user-group --home-dir /var/lib/sshmeter --no-create-home \
            --shell /bin/false sshmeter
    else
        fail 1 "the user sshmeter cannot be made: there is no systemd-sysusers and no useradd" \
            "make a system user sshmeter with a group of that name, and run this again"
    fi
}

# A restart loses nothing: systemd keeps what the daemon leaves with it.
start_service() {
    systemd_files | put_all
    make_user
    systemctl daemon-reload
    systemctl --quiet enable sshmeter
    if ! systemctl restart sshmeter; then
        fail 1 "sshmeter is installed, but its service does not start" \
            "journalctl -u sshmeter says why, sshmeter doctor what this machine lacks"
    fi
    say "sshmeter.service runs, and will be started with the system"
}

tell_how_to_run() {
    if running=$(pidof sshmeter); then
        say "the sshmeter that runs goes on as it is; the new one takes over by: kill $running"
        return
    fi
    say "there is no systemd here: your init has to run \`$prefix/bin/sshmeter run\` as root, and again when it ends;"
    say "busybox's by a line in /etc/inittab, ::respawn:$prefix/bin/sshmeter run, others as $documents/docs/install.md says"
}

install_all() {
    if ! version=$(./sshmeter --version 2>&1); then
        fail 1 "sshmeter does not run here: $version" \
            "it is made for Linux on x86_64; this is $(uname -s) on $(uname -m)"
    fi
    files | put_all
    make_config
    say "$version is installed below $destination$prefix"
    if [ -n "$destination" ]; then
        systemd_files | put_all
    elif [ -d /run/systemd/system ]; then
        start_service
    else
        tell_how_to_run
    fi
}

# With another prefix nothing would be removed but the service.
must_be_ours() {
    installed=$(sed -n 's|^ExecStart=\(.*\)/bin/sshmeter run$|\1|p' "$1")
    if [ "$installed" != "$prefix" ]; then
        fail 1 "the sshmeter of this service is not below $prefix: $1 starts $installed/bin/sshmeter" \
            "./install.sh --prefix $installed --uninstall removes that one"
    fi
}

# Counter rules that stay would have nobody to remove them. Where the config does
# not say that sshmeter counts at the firewall, the chain may be somebody else's.
clear_rules() {
    if "$prefix/bin/sshmeter" check-config 2>/dev/null | grep -qE '^kind = "(nftables|iptables)"$'; then
        "$prefix/bin/sshmeter" clear-rules || true
    fi
}

uninstall() {
    unit=/etc/systemd/system/sshmeter.service
    if [ -z "$destination" ] && [ -d /run/systemd/system ] && [ -e $unit ]; then
        must_be_ours $unit
        systemctl --quiet disable --now sshmeter
        systemctl clean --what=fdstore sshmeter.service >/dev/null 2>&1 || true
    fi
    [ -n "$destination" ] || clear_rules
    { files; systemd_files; } | remove_all
    rm -rf "$destination$documents"
    if [ -n "$destination" ]; then
        return
    elif [ -d /run/systemd/system ]; then
        systemctl daemon-reload
    elif running=$(pidof sshmeter); then
        say "sshmeter still runs: take it out of your init's table, and kill $running"
    fi
    say "sshmeter is removed; /etc/sshmeter and the ledger in /var/lib/sshmeter are still there"
}

prefix=${PREFIX:-/usr/local}
destination=${DESTDIR:-}
action=install_all
while [ $# -gt 0 ]; do
    case $1 in
    --prefix)
        prefix=${2:-}
        [ $# -eq 1 ] || shift
        ;;
    --prefix=*) prefix=${1#*=} ;;
    --uninstall) action=uninstall ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) fail 2 "there is no option $1" "./install.sh --help lists them" ;;
    esac
    shift
done

place="take one such as /usr/local or /opt/sshmeter"
case $prefix in
/home | /home/* | /root | /root/* | /run | /run/* | /tmp | /tmp/* | /var/tmp | /var/tmp/*) fail 2 "no service can be run below $prefix" "$place" ;;
*[!A-Za-z0-9/._+-]* | [!/]* | '') fail 2 "the prefix \"$prefix\" is not a plain absolute path" "$place" ;;
esac
prefix=${prefix%/}
documents=$prefix/share/doc/sshmeter
case $destination in
'' | /*) ;;
*) destination=$PWD/$destination ;;
esac
CDPATH='' cd -- "$(dirname "$0")"
if [ ! -e sshmeter ] || [ ! -e systemd/sshmeter.service ]; then
    fail 1 "what is to be installed does not lie beside install.sh" \
        "unpack the whole archive, and run the install.sh in it"
fi
if [ -z "$destination" ] && [ "$(id -u)" != 0 ]; then
    fail 1 "only root can install sshmeter" "use sudo, or set DESTDIR to put the files elsewhere"
fi
for folder in /lib /usr/lib; do
    if [ -z "$destination" ] && [ -e $folder/systemd/system/sshmeter.service ]; then
        fail 1 "sshmeter is here already, by a package of the system's" \
            "upgrade that, or remove it first: the ledger stays"
    fi
done
$action
