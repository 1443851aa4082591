//! A pointer in GRUB's environment block, with KubeSolo's variables: `active_slot`, `boot_counter`, `boot_success` (acceptance Ou-20).
//!
//! GRUB boots `active_slot`; it takes one off `boot_counter` and sets `boot_success=0` at each boot, and changes to the other slot when
//! the counter is at 0. So a slot is kept by `boot_success=1`, and tried by a counter above 0. Invariant: one write in place of all
//! three, then a flush; the block lies in two sectors, and these variables in the first. What a release's kernel is started with is
//! written before, at the end of the block: `boot_arguments_A`, `boot_arguments_B`.

use std::path::{Path, PathBuf};

use port_content::fs;

use super::grubenv::{Block, SIZE};
use super::{BootPointer, BootState, Header, SlotError, SlotName, Trial};

/// See the module.
#[derive(Debug)]
pub struct GrubPointer {
    path: PathBuf,
    running: SlotName,
}

impl GrubPointer {
    /// The block at `path`, on a machine of which the kernel's command line says that `running` runs.
    pub fn new(path: &Path, running: SlotName) -> Self {
        Self { path: path.to_owned(), running }
    }

    fn block(&self) -> Result<Block, SlotError> {
        let bytes = fs::read(&self.path, SIZE as u64)?;
        Block::parse(&bytes).map_err(|found| self.wrong(found))
    }

    fn wrong(&self, found: String) -> SlotError {
        let expected =
            "a GRUB environment block of 1024 bytes with `active_slot`, `boot_counter` and `boot_success`";
        SlotError::Pointer { path: self.path.clone(), expected, found }
    }

    fn write(&self, slot: SlotName, counter: u32, success: &str) -> Result<(), SlotError> {
        let mut block = self.block()?;
        set_boot(&mut block, slot, counter, success);
        self.put(&block)
    }

    /// What the release in a slot is started with, as `boot_arguments_A` and `boot_arguments_B` for the menu of GRUB; empty where
    /// it does not say.
    fn write_arguments(&self, slot: SlotName, header: &Header) -> Result<(), SlotError> {
        let mut block = self.block()?;
        if set_arguments(&mut block, slot, header) { self.put(&block) } else { Ok(()) }
    }

    fn bytes(&self, block: &Block) -> Result<Vec<u8>, SlotError> {
        let many =
            |found| self.wrong(format!("{found} bytes to write, with the boot arguments of both slots"));
        block.to_bytes().map_err(many)
    }

    fn put(&self, block: &Block) -> Result<(), SlotError> {
        let bytes = self.bytes(block)?;
        // GRUB finds the block's sectors by themselves, so it is written where it is.
        Ok(fs::overwrite(&self.path, &bytes)?)
    }
}

fn set_boot(block: &mut Block, slot: SlotName, counter: u32, success: &str) {
    block.set("active_slot", slot.as_str());
    block.set("boot_counter", &counter.to_string());
    block.set("boot_success", success);
}

/// Says whether that changes anything.
fn set_arguments(block: &mut Block, slot: SlotName, header: &Header) -> bool {
    let (name, arguments) = (format!("boot_arguments_{slot}"), header.arguments_in(slot));
    // GRUB reads two backslashes as one.
    let arguments = arguments.unwrap_or_default().replace('\\', "\\\\");
    let differs = block.get(&name).unwrap_or_default() != arguments;
    if differs {
        block.set(&name, &arguments);
    }
    differs
}

impl BootPointer for GrubPointer {
    fn fits(&self, slot: SlotName, header: &Header) -> Result<(), SlotError> {
        let mut block = self.block()?;
        set_arguments(&mut block, slot, header);
        set_boot(&mut block, slot, crate::machine::TRIES, "0");
        self.bytes(&block).map(drop)
    }

    fn read(&self) -> Result<BootState, SlotError> {
        let block = self.block()?;
        let value = |name: &str| block.get(name).ok_or_else(|| self.wrong(format!("no `{name}`")));
        let active = SlotName::parse(value("active_slot")?);
        let active = active.ok_or_else(|| self.wrong("`active_slot` is neither A nor B".to_owned()))?;
        let tries: u32 = value("boot_counter")?
            .parse()
            .map_err(|_| self.wrong("`boot_counter` is no number".to_owned()))?;
        let good = value("boot_success")? == "1";
        let running = self.running;
        if good {
            return Ok(BootState { running, kept: active, trial: None });
        }
        // What is tried is the active slot; what is left when its tries are used up is the other.
        let trial = Some(Trial { slot: active, tries });
        Ok(BootState { running, kept: active.other(), trial })
    }

    fn arm(&self, slot: SlotName, tries: u32, header: &Header) -> Result<(), SlotError> {
        self.write_arguments(slot, header)?;
        // CRASH: what a slot is started with is there before the slot is tried, so that a torn second sector is of no boot.
        self.write(slot, tries, "0")
    }

    fn keep(&self, slot: SlotName) -> Result<(), SlotError> {
        self.write(slot, crate::machine::TRIES, "1")
    }
}
