//! A file server on loopback, for a look at the page. Not for the open network: any host of static files is better at that.

use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

/// Serves `dir` until the program is ended.
pub(super) fn serve(dir: &Path, port: u16) -> Result<()> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| format!("cannot listen at {port}"))?;
    println!("http://localhost:{}/ (Ctrl-C ends it)", listener.local_addr()?.port());
    for stream in listener.incoming().flatten() {
        let dir = dir.to_owned();
        // A browser that goes away in the middle of an answer is no trouble of ours.
        std::thread::spawn(move || answer(&stream, &dir).ok());
    }
    Ok(())
}

fn answer(mut stream: &TcpStream, dir: &Path) -> Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().context("no request")??;
    let mut range = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("range")
        {
            range = Some(value.trim().to_owned());
        }
    }
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or("/"));
    let found = if matches!(method, "GET" | "HEAD") {
        find(dir, target)
    } else {
        None
    };
    let Some(path) = found else {
        write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\nConnection: close\r\n\r\nnot found\n"
        )?;
        return Ok(());
    };
    let mut file = File::open(&path)?;
    let size = file.metadata()?.len();
    let part = range.as_deref().and_then(|range| parse(range, size));
    let (status, sent) = match part.clone() {
        Some(part) => ("206 Partial Content", part),
        None => ("200 OK", 0..size),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {}\r\nContent-Length: {}\r\nAccept-Ranges: bytes\r\nCache-Control: no-cache\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n",
        content_type(&path),
        sent.end - sent.start
    )?;
    if part.is_some() {
        write!(
            stream,
            "Content-Range: bytes {}-{}/{size}\r\n",
            sent.start,
            sent.end - 1
        )?;
    }
    write!(stream, "\r\n")?;
    if method == "GET" {
        file.seek(SeekFrom::Start(sent.start))?;
        std::io::copy(&mut file.take(sent.end - sent.start), &mut stream)?;
    }
    Ok(())
}

/// The file of a request, if it lies in `dir`.
fn find(dir: &Path, target: &str) -> Option<PathBuf> {
    let target = target.split(['?', '#']).next().unwrap_or("/").trim_start_matches('/');
    let relative = Path::new(target);
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let path = dir.join(relative);
    let path = if path.is_dir() { path.join("index.html") } else { path };
    path.is_file().then_some(path)
}

/// `bytes=FROM-` or `bytes=FROM-TO`.
fn parse(range: &str, size: u64) -> Option<Range<u64>> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let from: u64 = from.parse().ok()?;
    let end = if to.is_empty() {
        size
    } else {
        to.parse::<u64>().ok()?.saturating_add(1).min(size)
    };
    (from < end).then_some(from..end)
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|e| e.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "webmanifest") => "application/json",
        Some("wasm") => "application/wasm",
        Some("png") => "image/png",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_the_folder_is_served() {
        // Of this run, not of the build, which another clone may have made: Cargo runs tests in the package's folder.
        let dir = &std::env::current_dir().expect("a folder to run in");
        assert_eq!(find(dir, "/Cargo.toml?x=1"), Some(dir.join("Cargo.toml")));
        for target in [
            "/../Cargo.toml",
            "/src/../../Cargo.toml",
            "//etc/passwd",
            "/no-such-file",
            "/",
        ] {
            assert_eq!(find(dir, target), None, "{target}");
        }
    }

    #[test]
    fn ranges_end_with_the_file() {
        assert_eq!(parse("bytes=5-", 10), Some(5..10));
        assert_eq!(parse("bytes=5-7", 10), Some(5..8));
        assert_eq!(parse("bytes=5-99", 10), Some(5..10));
        for bad in ["bytes=10-", "bytes=-3", "bytes=7-5", "lines=1-2", "bytes=a-b"] {
            assert_eq!(parse(bad, 10), None, "{bad}");
        }
    }
}
