//! The layout of everything that crosses the boundary, against a committed snapshot: within 1.x
//! lines are only ever added to it, and only at the end of a prefix type or of the trait `Stage`.
//!
//! `UPDATE_DOCS=1 cargo test -p plugin-api --test layout` writes it anew.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use abi_stable::{StableAbi, type_layout::TypeLayout};
use plugin_api::abi::{batch, root::PluginRoot_Ref, services, stage};

/// A type, its fields and, after it, the types of these that are ours.
fn describe(layout: &'static TypeLayout, seen: &mut BTreeSet<String>, out: &mut String) {
    let name = layout.full_type().to_string();
    let ours = layout.item_info().package() == "plugin-api";
    if !seen.insert(name.clone()) {
        return;
    }
    let fields: Vec<_> = layout
        .get_fields()
        .map(|fields| fields.iter().collect())
        .unwrap_or_default();
    if ours {
        let (size, align) = (layout.size(), layout.alignment());
        writeln!(out, "{name}: {size} bytes, alignment {align}").expect("a String takes it");
        for field in &fields {
            let (name, of) = (field.name(), field.full_type());
            writeln!(out, "    {name}: {of}").expect("a String takes it");
        }
    }
    // Tables stand behind pointers, which name them as phantoms.
    let phantoms = layout.phantom_fields();
    for field in fields.into_iter().chain(phantoms.iter()) {
        describe(field.layout(), seen, out);
        for function in field.function_range().iter() {
            if ours {
                let text = function.to_string();
                let signature = text.lines().next().unwrap_or_default();
                writeln!(out, "        {signature}").expect("a String takes it");
            }
        }
    }
}

#[test]
fn layouts_are_as_committed() {
    let (mut out, mut seen) = (String::new(), BTreeSet::new());
    for layout in [
        <batch::BatchHeader as StableAbi>::LAYOUT,
        <batch::RecMeta as StableAbi>::LAYOUT,
        <batch::HdrMeta as StableAbi>::LAYOUT,
        <batch::RawBatch as StableAbi>::LAYOUT,
        <services::HostServices as StableAbi>::LAYOUT,
        <services::HostVt_Ref as StableAbi>::LAYOUT,
        <services::OutHandle<'_> as StableAbi>::LAYOUT,
        <services::OutVt_Ref as StableAbi>::LAYOUT,
        <stage::RawError as StableAbi>::LAYOUT,
        <stage::Recovered as StableAbi>::LAYOUT,
        <stage::StageBox as StableAbi>::LAYOUT,
        <PluginRoot_Ref as StableAbi>::LAYOUT,
    ] {
        describe(layout, &mut seen, &mut out);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/layout.txt");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, out).expect("a file can be written");
        return;
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(committed == out, "the ABI has changed; it is now:\n{out}");
}
