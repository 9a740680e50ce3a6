//! What the host must know of a variant, read from naga's module and held against the portable limits.

use naga::{AddressSpace, Expression, Literal, Scalar, ShaderStage, StorageAccess, TypeInner};

use super::Variant;
use super::docs::Docs;
use super::preprocess::Fault;
use super::validate::Checked;

/// The limits that every adapter has (WebGPU's defaults).
const MAX_STORAGE_BUFFERS: usize = 8;
const MAX_INVOCATIONS: u32 = 256;
const MAX_WORKGROUP_BYTES: u32 = 16384;

/// A member of `Params`: name, Rust type, documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) ty: &'static str,
    pub(crate) docs: String,
}

/// A storage buffer, bound at its index + 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Storage {
    pub(crate) name: String,
    pub(crate) writable: bool,
    pub(crate) docs: String,
}

/// The interface of a variant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reflection {
    pub(crate) workgroup_size: [u32; 3],
    pub(crate) members: Vec<Member>,
    pub(crate) bindings: Vec<Storage>,
    /// `u32` constants at module scope.
    pub(crate) consts: Vec<(String, u32)>,
}

/// Reads the interface.
///
/// # Errors
/// All ways in which it breaks the crate's rules or the portable limits.
pub(crate) fn read(checked: &Checked, docs: &Docs) -> Result<Reflection, Vec<String>> {
    let mut wrong = Vec::new();
    let workgroup_size = entry(checked, &mut wrong);
    let (members, bindings) = globals(checked, docs, &mut wrong);
    let module = &checked.module;
    let consts = module.constants.iter().filter_map(|(_, constant)| {
        match (&constant.name, &module.global_expressions[constant.init]) {
            (Some(name), Expression::Literal(Literal::U32(value))) => Some((name.clone(), *value)),
            _ => None,
        }
    });
    let reflection = Reflection {
        workgroup_size,
        members,
        bindings,
        consts: consts.collect(),
    };
    if wrong.is_empty() { Ok(reflection) } else { Err(wrong) }
}

fn entry(checked: &Checked, wrong: &mut Vec<String>) -> [u32; 3] {
    let Checked { module, info } = checked;
    let entry = match module.entry_points.as_slice() {
        [entry] if entry.name == "main" && entry.stage == ShaderStage::Compute => entry,
        _ => {
            wrong.push("a kernel has one entry point, `@compute fn main`".into());
            return [1; 3];
        }
    };
    let invocations: u32 = entry.workgroup_size.iter().product();
    if invocations > MAX_INVOCATIONS {
        wrong.push(format!(
            "{invocations} invocations in a workgroup: {MAX_INVOCATIONS} is the portable limit"
        ));
    }
    let usage = info.get_entry_point(0);
    let shared = module
        .global_variables
        .iter()
        .filter(|(handle, variable)| variable.space == AddressSpace::WorkGroup && !usage[*handle].is_empty());
    // As wgpu counts: each variable rounded up to 16 bytes.
    let bytes: u32 = shared
        .map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx()).next_multiple_of(16))
        .sum();
    if bytes > MAX_WORKGROUP_BYTES {
        wrong.push(format!(
            "{bytes} bytes of workgroup memory: {MAX_WORKGROUP_BYTES} is the portable limit"
        ));
    }
    entry.workgroup_size
}

fn globals(checked: &Checked, docs: &Docs, wrong: &mut Vec<String>) -> (Vec<Member>, Vec<Storage>) {
    let module = &checked.module;
    let mut params = None;
    let mut storage: Vec<(u32, Storage)> = Vec::new();
    for (_, variable) in module.global_variables.iter() {
        let name = variable.name.clone().unwrap_or_default();
        let place = variable.binding.map(|b| (b.group, b.binding));
        match variable.space {
            AddressSpace::Uniform if place == Some((0, 0)) && name == "p" => params = Some(variable.ty),
            AddressSpace::Storage { access } => match place {
                Some((0, binding)) => storage.push((
                    binding,
                    Storage {
                        docs: docs.get(&name).cloned().unwrap_or_default(),
                        name,
                        writable: access.contains(StorageAccess::STORE),
                    },
                )),
                _ => wrong.push(format!("`{name}` must be in group 0")),
            },
            AddressSpace::WorkGroup | AddressSpace::Private => {}
            _ => wrong.push(format!(
                "`{name}` is neither storage, workgroup nor private, nor `@group(0) @binding(0) var<uniform> p: Params`"
            )),
        }
    }
    storage.sort_by_key(|(binding, _)| *binding);
    for (index, (binding, buffer)) in storage.iter().enumerate() {
        if *binding as usize != index + 1 {
            wrong.push(format!(
                "`{}` has binding {binding}: storage buffers take 1, 2, … in a row",
                buffer.name
            ));
        }
    }
    if storage.len() > MAX_STORAGE_BUFFERS {
        wrong.push(format!(
            "{} storage buffers: {MAX_STORAGE_BUFFERS} is the portable limit",
            storage.len()
        ));
    }
    let bindings = storage.into_iter().map(|(_, buffer)| buffer).collect();
    let members = match params.map(|ty| &module.types[ty]) {
        Some(ty) => members(ty, module, docs, wrong),
        None => {
            wrong.push("`@group(0) @binding(0) var<uniform> p: Params;` is missing".into());
            Vec::new()
        }
    };
    (members, bindings)
}

fn members(ty: &naga::Type, module: &naga::Module, docs: &Docs, wrong: &mut Vec<String>) -> Vec<Member> {
    let TypeInner::Struct { members, .. } = &ty.inner else {
        wrong.push("Params must be a struct".into());
        return Vec::new();
    };
    let mut out = Vec::new();
    for (index, member) in members.iter().enumerate() {
        let name = member.name.clone().unwrap_or_default();
        let scalar = match module.types[member.ty].inner {
            TypeInner::Scalar(Scalar::U32) => Some("u32"),
            TypeInner::Scalar(Scalar::I32) => Some("i32"),
            TypeInner::Scalar(Scalar::F32) => Some("f32"),
            _ => None,
        };
        let Some(scalar) = scalar else {
            wrong.push(format!("Params.{name} must be u32, i32 or f32"));
            continue;
        };
        // The generated struct is `repr(C)`: it lies where WGSL says only without `@align` and `@size`.
        if member.offset as usize != 4 * index {
            wrong.push(format!("Params.{name} lies at byte {}: no gaps, please", member.offset));
        }
        let docs = docs.get(&format!("p.{name}")).cloned().unwrap_or_default();
        out.push(Member { name, ty: scalar, docs });
    }
    out
}

/// Variants of one file whose interface is not that of the first: host code binds all of them the same way.
pub(crate) fn disagreements(path: &str, variants: &[Variant]) -> Vec<Fault> {
    let Some(first) = variants.first() else {
        return Vec::new();
    };
    let interface = |variant: &Variant| {
        let Reflection { members, bindings, .. } = &variant.reflection;
        let members: Vec<_> = members.iter().map(|m| (m.name.clone(), m.ty)).collect();
        let bindings: Vec<_> = bindings.iter().map(|b| (b.name.clone(), b.writable)).collect();
        (members, bindings)
    };
    let expected = interface(first);
    let others = variants.iter().filter(|variant| interface(variant) != expected);
    let fault = |variant: &Variant| Fault {
        file: path.into(),
        line: 1,
        message: format!(
            "{} and {} differ in Params or in the names or access of bindings",
            first.label, variant.label
        ),
    };
    others.map(fault).collect()
}
