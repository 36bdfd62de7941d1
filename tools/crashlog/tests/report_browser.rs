//! The report in a browser: headless Chromium opens it from a file.
//!
//! Where there is no browser the tests are listed as ignored. Each test opens a page in a browser
//! of its own, whose only way to the network is a proxy that notes what it is asked for.

mod common;

use common::Bench;
use common::report::{HOSTILE, hostile_page, plain_page, read};
use libtest_mimic::{Arguments, Failed, Trial};
use scraper::{Html, Selector};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Names of the browser: Debian's, then others.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A page takes it a few seconds, and several times that on a machine that is busy.
const LONGEST: Duration = Duration::from_secs(180);

fn main() -> ExitCode {
    let browser = BROWSERS.into_iter().find(|name| {
        let version = Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        version.is_ok_and(|status| status.success())
    });
    type Test = fn(&Browser) -> Result<(), Failed>;
    let tests: [(&str, Test); 4] = [
        ("the_browser_reports_what_it_should_not_find", control),
        ("nothing_is_loaded_and_no_script_fails", plain),
        ("hostile_content_is_inert", hostile),
        ("the_filter_works", filter),
    ];
    let trials = tests
        .into_iter()
        .map(|(name, test)| match browser {
            Some(program) => Trial::test(name, move || test(&Browser { program })),
            None => Trial::test(name, || Ok(()))
                .with_kind("needs chromium; ./x setup installs it")
                .with_ignored_flag(true),
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

struct Browser {
    program: &'static str,
}

/// What a browser made of a page.
struct Opened {
    /// The document after its scripts have run.
    document: Html,
    /// Errors of scripts, and what the policy has forbidden.
    console: Vec<String>,
    /// What it has asked the network for, beside its maker's own services.
    requests: Vec<String>,
}

impl Browser {
    /// Opens a page; `fragment` is the part of its address after the `#`.
    fn open(&self, page: &Path, fragment: &str) -> Result<Opened, Failed> {
        let bench = Bench::new();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let proxy = TcpListener::bind("127.0.0.1:0")?;
        let address = proxy.local_addr()?;
        let notes = asked.clone();
        // Ends with the test program; a closed connection is an answer.
        thread::spawn(move || {
            for stream in proxy.incoming().flatten() {
                let mut line = String::new();
                if BufReader::new(stream).read_line(&mut line).is_ok()
                    && let Ok(mut notes) = notes.lock()
                {
                    notes.push(line);
                }
            }
        });
        let (document, log) = (bench.path("document"), bench.path("log"));
        let mut child = Command::new(self.program)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-dev-shm-usage",
                "--disable-sync",
                "--no-first-run",
                "--enable-logging=stderr",
                "--virtual-time-budget=3000",
                "--timeout=20000",
                "--dump-dom",
            ])
            .arg(format!(
                "--user-data-dir={}",
                bench.path("profile").display()
            ))
            .arg(format!("--proxy-server=http://{address}"))
            .arg("--proxy-bypass-list=<-loopback>")
            .arg(format!("file://{}#{fragment}", page.display()))
            .stdin(Stdio::null())
            .stdout(File::create(&document)?)
            .stderr(File::create(&log)?)
            .spawn()?;
        let end = Instant::now() + LONGEST;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() > end {
                child.kill()?;
                child.wait()?;
                return Err(format!("the browser is not done after {LONGEST:?}").into());
            }
            thread::sleep(Duration::from_millis(50));
        };
        let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        if !status.success() {
            return Err(format!("{status}: {said}").into());
        }
        let console = said.lines().filter(|line| line.contains("CONSOLE"));
        let asked = asked.lock().map_err(|_| "the proxy has failed")?;
        let requests = asked.iter().filter(|line| {
            !line.contains(".google.com")
                && !line.contains(".googleapis.com")
                && !line.contains(".gvt1.com")
        });
        Ok(Opened {
            document: Html::parse_document(&String::from_utf8_lossy(&fs::read(&document)?)),
            console: console.map(str::to_owned).collect(),
            requests: requests.cloned().collect(),
        })
    }
}

impl Opened {
    fn text(&self, selector: &str) -> Vec<String> {
        let selector = Selector::parse(selector).expect("selector");
        let found = self.document.select(&selector);
        found.map(|element| element.text().collect()).collect()
    }

    /// Nothing failed, nothing was loaded.
    fn is_quiet(&self) -> Result<(), Failed> {
        if self.console.is_empty() && self.requests.is_empty() {
            Ok(())
        } else {
            Err(format!("console: {:?}, requests: {:?}", self.console, self.requests).into())
        }
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), Failed> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("found {found:?}, expected {expected:?}").into())
    }
}

/// The page `name` with this text.
fn page(bench: &Bench, name: &str, text: &str) -> Result<PathBuf, Failed> {
    let page = bench.path(name);
    fs::write(&page, text)?;
    Ok(page)
}

/// The other tests would see a request, and a script that fails.
fn control(browser: &Browser) -> Result<(), Failed> {
    let bench = Bench::new();
    let text = "<!doctype html><title>x</title><img src='http://evil.example/a.png'><script>nonsense()</script>";
    let opened = browser.open(&page(&bench, "control.html", text)?, "")?;
    equal(opened.console.len(), 1)?;
    equal(
        opened
            .requests
            .iter()
            .any(|line| line.contains("evil.example")),
        true,
    )
}

fn plain(browser: &Browser) -> Result<(), Failed> {
    let bench = Bench::new();
    let opened = browser.open(&plain_page(&bench), "")?;
    opened.is_quiet()?;
    equal(
        opened.text("title"),
        vec!["Crash 1: task worker".to_owned()],
    )?;
    // The script has run: it fills this.
    equal(opened.text("#found"), vec!["40 of 40 records".to_owned()])
}

fn hostile(browser: &Browser) -> Result<(), Failed> {
    let bench = Bench::new();
    let page = hostile_page(&bench);
    let opened = browser.open(&page, "find=%zz")?;
    opened.is_quiet()?;
    equal(
        opened.text("title"),
        vec!["Crash 1: task worker".to_owned()],
    )?;
    equal(opened.text("td.text").len(), 2 * HOSTILE.len())?;
    equal(opened.text("script, iframe, img, style").len(), 2)
}

/// The search finds what the address carries; the boxes, which need no script, hide what they name.
fn filter(browser: &Browser) -> Result<(), Failed> {
    let bench = Bench::new();
    let path = plain_page(&bench);
    let opened = browser.open(&path, "find=RECORD%203")?;
    opened.is_quiet()?;
    // Records 3 and 30 to 39.
    equal(opened.text("#found"), vec!["11 of 40 records".to_owned()])?;
    equal(opened.text("tr.unmatched").len(), 29)?;

    // A copy whose policy allows a script that uses the page as a person would.
    let text = read(&path);
    let (start, rest) = text.split_once("script-src '").ok_or("no policy")?;
    let (_, rest) = rest.split_once('\'').ok_or("no policy")?;
    let text = format!("{start}script-src 'unsafe-inline'{rest}");
    for (id, left) in [
        ("show-s-event", 30),
        ("show-s-console", 10),
        ("show-l-warn", 30),
        ("show-t-0", 10),
    ] {
        let script = format!(
            "<script>document.getElementById('{id}').click();\
             document.title = [...document.querySelectorAll('.records tbody tr')]\
             .filter((row) => getComputedStyle(row).display !== 'none').length;</script>"
        );
        let used = text.replace("</body>", &format!("{script}</body>"));
        let opened = browser.open(&page(&bench, "used.html", &used)?, "")?;
        equal(opened.text("title"), vec![left.to_string()])?;
        equal(opened.text("#found"), vec![format!("{left} of 40 records")])?;
    }
    Ok(())
}
