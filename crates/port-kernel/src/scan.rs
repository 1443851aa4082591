//! Finds banner and configuration in a stream of bytes, wherever the stream is cut into pieces.
//!
//! ```text
//! piece ─► │ overlap │ new bytes        │   a match before the last OVERLAP bytes has all it needs;
//!          └─────────┴──────── OVERLAP ─┘   a later one waits for the next round
//! ```

use std::io::{self, Write};

use memchr::memmem::find_iter;

use crate::facts::{BANNER, Banner, CONFIG_START, Findings, embedded_config};

/// How many bytes a match may need. A compressed configuration has some 60 KB.
const OVERLAP: usize = 512 * 1024;
/// How much is searched at once.
const WINDOW: usize = 4 * OVERLAP;

/// How many matches are looked at before the scan gives up. A kernel has one or two of each; a file made of
/// nothing but matches must not keep us busy.
const MOST_BANNERS: usize = 4096;
const MOST_CONFIGS: usize = 16;

/// A writer that keeps nothing but what it found.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    window: Vec<u8>,
    banners_tried: usize,
    configs_tried: usize,
    findings: Findings,
}

impl Scanner {
    /// Searches what is left, and returns the findings.
    pub(crate) fn finish(mut self) -> Findings {
        self.search(self.window.len());
        self.findings
    }

    fn is_done(&self) -> bool {
        self.has_best_banner() && (self.findings.config.is_some() || self.configs_tried >= MOST_CONFIGS)
    }

    /// Newer kernels hold a second banner without the build number (`# SMP`), which the one of `uname` replaces.
    fn has_best_banner(&self) -> bool {
        self.findings.banner.as_ref().is_some_and(Banner::has_build_number)
            || self.banners_tried >= MOST_BANNERS
    }

    /// Searches for matches that start in the first `decided` bytes, then forgets these.
    fn search(&mut self, decided: usize) {
        let window = &self.window;
        let matches = |needle| find_iter(window, needle).take_while(move |at| *at < decided);
        let from = |at: usize| window.get(at..).unwrap_or_default();
        if !self.has_best_banner() {
            let left = matches(BANNER).take(MOST_BANNERS.saturating_sub(self.banners_tried));
            let banners = left.inspect(|_| self.banners_tried += 1).filter_map(|at| Banner::parse(from(at)));
            let mut best = self.findings.banner.take();
            for banner in banners {
                let is_better = banner.has_build_number();
                if best.is_none() || is_better {
                    best = Some(banner);
                }
                if is_better {
                    break;
                }
            }
            self.findings.banner = best;
        }
        if self.findings.config.is_none() {
            let piece = |at| from(at).get(..OVERLAP).unwrap_or(from(at));
            let left = matches(CONFIG_START).take(MOST_CONFIGS.saturating_sub(self.configs_tried));
            let tried = left.inspect(|_| self.configs_tried += 1);
            self.findings.config = tried.map(piece).find_map(embedded_config);
        }
        self.window.drain(..decided);
    }
}

impl Write for Scanner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_done() {
            return Ok(bytes.len());
        }
        for piece in bytes.chunks(OVERLAP) {
            self.window.extend_from_slice(piece);
            if self.window.len() >= WINDOW {
                self.search(self.window.len() - OVERLAP);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setting;
    use crate::samples;

    fn scan(bytes: &[u8], piece: usize) -> Findings {
        let mut scanner = Scanner::default();
        bytes.chunks(piece).for_each(|piece| scanner.write_all(piece).unwrap());
        scanner.finish()
    }

    #[test]
    fn finds_both_wherever_they_are() {
        let config = samples::gzip(b"CONFIG_VIRTIO_BLK=y\nCONFIG_EROFS_FS=m\n");
        for at in [0, 1000, WINDOW - OVERLAP - 3, WINDOW - 5, WINDOW, 2 * WINDOW + 17] {
            let mut bytes = vec![0xaa; at];
            bytes.extend(
                b"Linux version %s (%s)\0Linux version 6.1.0-56-cloud-amd64 (a@b) #1 SMP\n\0IKCFG_ST",
            );
            bytes.extend(&config);
            bytes.extend(b"IKCFG_ED");
            bytes.resize(bytes.len() + 100, 0);
            for piece in [100_000, 1 << 20, bytes.len()] {
                let findings = scan(&bytes, piece);
                assert_eq!(findings.banner.unwrap().release, "6.1.0-56-cloud-amd64", "{at}");
                assert_eq!(findings.config.unwrap().get("EROFS_FS"), Some(&Setting::Module), "{at}");
            }
        }
    }

    #[test]
    fn the_banner_with_a_build_number_is_preferred() {
        let (bare, whole) = ("Linux version 6.1.0 (a@b) # SMP\n", "Linux version 6.1.0 (a@b) #1 SMP\n");
        for bytes in [format!("{bare}\0{whole}"), format!("{whole}\0{bare}")] {
            assert_eq!(scan(bytes.as_bytes(), 4096).banner.unwrap().text, whole.trim_end());
        }
        let apart = [bare.as_bytes(), &vec![0; 3 * WINDOW], whole.as_bytes()].concat();
        assert_eq!(scan(&apart, 1 << 20).banner.unwrap().text, whole.trim_end());
        assert_eq!(scan(bare.as_bytes(), 4096).banner.unwrap().text, bare.trim_end());
    }

    #[test]
    fn a_file_of_nothing_but_matches_ends_the_search() {
        let mut scanner = Scanner::default();
        let matches = b"Linux version xIKCFG_ST\x1f\x8b\x08".repeat(1 << 16);
        scanner.write_all(&matches).unwrap();
        scanner.write_all(&matches).unwrap();
        assert!(scanner.is_done());
        assert_eq!((scanner.banners_tried, scanner.configs_tried), (MOST_BANNERS, MOST_CONFIGS));
    }

    #[test]
    fn memory_is_bounded_and_damage_is_no_finding() {
        let mut scanner = Scanner::default();
        for _ in 0..40 {
            scanner.write_all(&[b'L'; 1 << 20]).unwrap();
            assert!(scanner.window.len() <= WINDOW + OVERLAP);
        }
        assert_eq!(scanner.finish(), Findings::default());
        assert_eq!(scan(b"IKCFG_ST\x1f\x8b\x08 not gzip IKCFG_ED", 7).config, None);
        assert_eq!(scan(b"IKCFG_ST\x1f\x8b\x08 no end", 7).config, None);
    }
}
