//! The documents, typed from the first page to the last.

use std::time::Instant;

use system_tests::{
    Backend, Machine,
    book::{self, Block, Elsewhere, Held, held, own_commands, runnable},
    boots, package,
};

use crate::stage::{CHECKOUT, Stage};

#[test]
fn every_command_works_as_it_stands() {
    let name = "docs::every_command_works_as_it_stands";
    let servers = [Backend::MariaDb, Backend::Postgres];
    if !boots(name) || !servers.iter().all(|backend| backend.stands(name)) {
        return;
    }
    let stage = Stage::set();
    let mut faults = Vec::new();
    for page in book::pages() {
        let begin = Instant::now();
        for block in &page.blocks {
            if let Some(fault) = type_in(&stage, block) {
                faults.push(format!("{}: {fault}\n{}", block.place, block.text));
            }
        }
        if !page.blocks.is_empty() {
            stage.tidy();
        }
        println!("{:>6.1} s  {}", begin.elapsed().as_secs_f32(), page.name);
    }
    let words = stage.words();
    assert!(
        faults.is_empty(),
        "{}\nsshmeter said:\n{words}",
        faults.join("\n")
    );
}

/// Does with a block what a reader does; gives what went wrong.
fn type_in(stage: &Stage, block: &Block) -> Option<String> {
    match held(&block.language)? {
        Held::Commands => run(stage, &runnable(&block.text)),
        Held::Config => {
            let named = block.text.lines().next()?.strip_prefix("# /")?;
            stage.put(&format!("/{named}"), &block.text);
            None
        }
        Held::DropIn => {
            stage.put(
                "/etc/systemd/system/sshmeter.service.d/own.conf",
                &block.text,
            );
            run(stage, "systemctl daemon-reload; systemctl restart sshmeter")
        }
        Held::Sql(backend) => stage.ask(backend, &block.text).err(),
        // Held to the letter elsewhere, or nothing to run.
        Held::Example | Held::Excerpt | Held::Shown => None,
    }
}

fn run(stage: &Stage, commands: &str) -> Option<String> {
    if commands.trim().is_empty() {
        return None;
    }
    let said = stage.typed(commands);
    (!said.status.success()).then(|| {
        let [out, words] =
            [said.stdout, said.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        format!("{}\n{out}{words}", said.status)
    })
}

/// Where `cargo xtask deb` puts packages.
const PACKAGES: &str = "target/deb";

/// Installing, upgrading and removing a package is what the system tests of the
/// package are about. Here the book's commands for it are typed.
#[test]
fn the_package_comes_and_goes_as_the_book_says() {
    let name = "docs::the_package_comes_and_goes_as_the_book_says";
    if !boots(name) {
        return;
    }
    let Some(package) = package(name) else {
        return;
    };
    let machine = Machine::builder().booted().start();
    let server = machine.server();
    let name = package.file_name().expect("a name").to_string_lossy();
    server.run("mkdir", &["-p", &format!("{CHECKOUT}/{PACKAGES}")]);
    server.install(&package, &format!("{CHECKOUT}/{PACKAGES}/{name}"));
    // Where apt asks, the reader says yes.
    server.write(
        "/etc/apt/apt.conf.d/99yes",
        "APT::Get::Assume-Yes \"true\";\n",
    );
    let blocks = ["README.md", "docs/install.md"].map(|name| book::page(name).blocks);
    for block in blocks.concat() {
        for command in own_commands(&block.text, Elsewhere::Package) {
            server.shell(&format!("cd {CHECKOUT}; {command}"));
            if command.contains(" install ") {
                server.run("sshmeter", &["doctor"]);
            }
        }
    }
    let left = server.output("test", &["-e", "/var/lib/sshmeter"]);
    assert!(!left.status.success(), "a purge leaves the ledger");
}
