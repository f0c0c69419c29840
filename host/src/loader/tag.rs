//! Reads a plugin's tag from the bytes of its file, with nothing of it run.

use object::{
    Architecture, Object, ObjectKind, ObjectSegment, ObjectSymbol, ReadRef,
    read::elf::{ElfFile64, FileHeader, ProgramHeader},
};
use plugin_api::abi::{
    ABI_MAJOR,
    tag::{TAG_HEAD, TAG_SYMBOL, TAG_TEXT_MAX, Tag},
};

use super::Refusal;

/// The tag of a shared object: of its bytes, or of a file of which only what is needed is read.
pub fn read<'d, R: ReadRef<'d>>(data: R) -> Result<Tag, Refusal> {
    let torn =
        |what: &str| Refusal::new(format!("it is no shared object that can be read: {what}"));
    let elf = ElfFile64::<object::Endianness, R>::parse(data).map_err(|e| torn(&e.to_string()))?;
    if elf.kind() != ObjectKind::Dynamic {
        return Err(torn("it is an ELF file of another kind"));
    }
    if elf.architecture() != host_architecture() {
        return Err(Refusal::new(format!(
            "it was built for {:?}, and this machine is another",
            elf.architecture()
        ))
        .hint("build the plugin on or for this machine"));
    }
    let len = data.len().map_err(|()| torn("its length is unknown"))?;
    whole(&elf, len).ok_or_else(|| {
        torn("it is cut short")
            .hint("copy the plugin again; the file does not hold all that it announces")
    })?;
    let symbol = elf
        .dynamic_symbols()
        .find(|s| !s.is_undefined() && s.name() == Ok(TAG_SYMBOL))
        .ok_or_else(|| {
            Refusal::new("it is no plugin: it has no tag")
                .hint("a plugin is a cdylib that calls `export_plugin!`; other libraries need a folder of their own")
        })?;
    let size = symbol.size().min((TAG_HEAD + TAG_TEXT_MAX) as u64);
    let data = elf
        .segments()
        .find_map(|s| s.data_range(symbol.address(), size).ok().flatten())
        .ok_or_else(|| torn("its tag lies outside the file"))?;
    let tag = Tag::read(data).map_err(Refusal::new)?;
    if tag.major != ABI_MAJOR {
        return Err(Refusal::new(format!(
            "it was built for ABI {}.{}, and this host speaks {ABI_MAJOR}.x",
            tag.major, tag.minor
        ))
        .hint("build the plugin against a plugin-api of this host's major version"));
    }
    Ok(tag)
}

/// Whether every part that would be mapped lies inside the file: mapping a part beyond its end
/// is a SIGBUS later, at any time.
fn whole<'d, R: ReadRef<'d>>(elf: &ElfFile64<'d, object::Endianness, R>, len: u64) -> Option<()> {
    let (endian, header) = (elf.endian(), elf.elf_header());
    for program in elf.elf_program_headers() {
        let end = program
            .p_offset(endian)
            .checked_add(program.p_filesz(endian))?;
        (end <= len).then_some(())?;
    }
    let sections = u64::from(header.e_shnum(endian)) * u64::from(header.e_shentsize(endian));
    let end = header.e_shoff(endian).checked_add(sections)?;
    (end <= len).then_some(())
}

fn host_architecture() -> Architecture {
    if cfg!(target_arch = "x86_64") {
        Architecture::X86_64
    } else if cfg!(target_arch = "aarch64") {
        Architecture::Aarch64
    } else if cfg!(target_arch = "riscv64") {
        Architecture::Riscv64
    } else {
        Architecture::Unknown
    }
}
