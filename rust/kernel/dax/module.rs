// SPDX-License-Identifier: GPL-2.0

//! The module of code whose `module_init()` is in C.

/// Defines a type for the module that the caller's crate is part of, where that is one in C, or the
/// kernel itself. It can be used as `OwnerModule`, and with [`this_module`].
///
/// [`this_module`]: crate::module::this_module
///
/// # Examples
///
/// ```
/// use kernel::{module::this_module, ModuleMetadata};
///
/// kernel::module_in_c!(MyModule, c"my_module");
/// assert_eq!(MyModule::NAME.to_bytes(), b"my_module");
/// // The examples are part of the kernel itself.
/// assert!(this_module::<MyModule>().as_ptr().is_null());
/// ```
#[macro_export]
macro_rules! module_in_c {
    ($module:ident, $name:expr) => {
        struct $module;

        impl $crate::ModuleMetadata for $module {
            const NAME: &'static $crate::str::CStr = $name;

            #[cfg(MODULE)]
            const THIS_MODULE: $crate::ThisModule = {
                extern "C" {
                    // Only its address is used.
                    static __this_module: $crate::types::Opaque<$crate::bindings::module>;
                }
                // SAFETY: Each module has one.
                unsafe { $crate::ThisModule::from_ptr(__this_module.get()) }
            };

            #[cfg(not(MODULE))]
            // SAFETY: Null is the kernel itself.
            const THIS_MODULE: $crate::ThisModule =
                unsafe { $crate::ThisModule::from_ptr(core::ptr::null_mut()) };
        }
    };
}
