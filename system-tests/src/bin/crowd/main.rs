//! Very many TCP connections at once, for the tests: `crowd hold PORT` accepts and
//! keeps them, and reads what they send; several may share the port. `crowd visit
//! ADDRESS PORT FROM COUNT` makes them. Each moves a few bytes both ways. At a line
//! `move COUNT` the first of them send a few bytes more. All end together when standard
//! input does. `crowd list PORT TIMES` tells what the kernel alone takes to list them,
//! and how many it lists.

mod hold;
mod list;

use std::{
    io::{Read as _, Write as _, stdin},
    net::{IpAddr, SocketAddr, TcpStream},
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    net::{AddressFamily, SocketType, bind, connect, socket},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

const MESSAGE: [u8; 100] = [7; 100];

fn main() -> Result<()> {
    // The soft limit is made for select(2), which nobody uses here.
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["hold", port] => hold::run(port.parse()?),
        ["visit", address, port, from, count] => {
            let server = SocketAddr::new(address.parse()?, port.parse()?);
            visit(server, from.parse()?, count.parse()?)
        }
        ["list", port, times] => list::run(port.parse()?, times.parse()?),
        _ => bail!("crowd hold PORT | visit ADDRESS PORT FROM COUNT | list PORT TIMES"),
    }
}

fn visit(server: SocketAddr, from: IpAddr, count: usize) -> Result<()> {
    let mut held = (0..count)
        .map(|number| one(server, from).with_context(|| format!("connection {number}")))
        .collect::<Result<Vec<TcpStream>>>()?;
    println!("ready");
    for line in stdin().lines() {
        let line = line?;
        let count: usize = line.strip_prefix("move ").context("a command")?.parse()?;
        for stream in held.iter_mut().take(count) {
            stream.write_all(&MESSAGE)?;
        }
        println!("ready");
    }
    Ok(())
}

fn one(server: SocketAddr, from: IpAddr) -> Result<TcpStream> {
    let descriptor = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&descriptor, &SocketAddr::new(from, 0))?;
    connect(&descriptor, &server)?;
    let mut stream = TcpStream::from(descriptor);
    stream.write_all(&MESSAGE)?;
    stream.read_exact(&mut [0; MESSAGE.len()])?;
    Ok(stream)
}
