//! Many hosts at once, for the tests of mirrors: `hosts URL FOLDER COUNT PAUSE_MS`
//! opens a ledger for each in the folder and lets them live until SIGTERM. It may
//! be killed and started again; it ends with 0 when all is mirrored. It alone is
//! made of sshmeter's own code: it stands for daemons, and judges nothing.

mod host;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use sshmeter::{
    config::{MirrorConfig, Resolution},
    mirror::address::Address,
};
use tokio::signal::unix::{SignalKind, signal};

use self::host::PretendHost;

fn main() -> Result<()> {
    sshmeter::telemetry::start();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [url, folder, count, pause] = words[..] else {
        bail!("hosts URL FOLDER COUNT PAUSE_MS");
    };
    let mirror = MirrorConfig {
        address: Address::parse(url)?,
        resolution: Resolution::Minute,
        interval: Duration::from_secs(1),
    };
    let pause = Duration::from_millis(pause.parse()?);
    let stop = Arc::new(AtomicBool::new(false));
    let hosts = (0..count.parse()?)
        .map(|number| PretendHost::open(Path::new(folder), number))
        .collect::<Result<Vec<_>>>()?;
    let threads: Vec<_> = hosts
        .into_iter()
        .map(|host| {
            let (mirror, stop) = (mirror.clone(), stop.clone());
            thread::spawn(move || host.live(&[mirror], pause, &stop))
        })
        .collect();
    wait_for_the_end()?;
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        let lived = thread.join();
        lived.map_err(|_| anyhow::anyhow!("a host panicked"))??;
    }
    Ok(())
}

fn wait_for_the_end() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(async {
        signal(SignalKind::terminate())?.recv().await;
        Ok(())
    })
}
