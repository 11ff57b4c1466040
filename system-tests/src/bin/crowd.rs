//! Very many TCP connections at once, for the tests: `crowd hold PORT` accepts
//! and keeps them, `crowd visit ADDRESS PORT FROM COUNT` makes them. Each moves
//! a few bytes both ways. All end together when standard input does.

use std::{
    io::{Read as _, Write as _, stdin},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    thread,
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
        ["hold", port] => hold(port.parse()?),
        ["visit", address, port, from, count] => {
            let server = SocketAddr::new(address.parse()?, port.parse()?);
            visit(server, from.parse()?, count.parse()?)
        }
        _ => bail!("crowd hold PORT | crowd visit ADDRESS PORT FROM COUNT"),
    }
}

fn hold(port: u16) -> Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            held.push(stream.and_then(|mut stream| {
                stream.read_exact(&mut [0; MESSAGE.len()])?;
                stream.write_all(&MESSAGE)?;
                Ok(stream)
            }));
        }
    });
    until_the_end()
}

fn visit(server: SocketAddr, from: IpAddr, count: usize) -> Result<()> {
    let held = (0..count)
        .map(|number| one(server, from).with_context(|| format!("connection {number}")))
        .collect::<Result<Vec<TcpStream>>>()?;
    println!("ready");
    until_the_end()?;
    drop(held);
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

/// The kernel closes everything when the process ends.
fn until_the_end() -> Result<()> {
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
