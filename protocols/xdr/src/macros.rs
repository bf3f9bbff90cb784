//! Declaring wire types once, with both directions.

/// Declares structs whose fields follow each other on the wire.
#[macro_export]
macro_rules! xdr_struct {
    ($($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$field_meta:meta])* pub $field:ident: $type:ty),* $(,)?
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type),* }

        impl $crate::Encode for $name {
            fn encode(&self, _e: &mut $crate::Encoder) {
                $($crate::Encode::encode(&self.$field, _e);)*
            }
        }

        impl $crate::Decode for $name {
            fn decode(_d: &mut $crate::Decoder) -> Result<Self, $crate::XdrError> {
                Ok($name { $($field: <$type as $crate::Decode>::decode(_d)?),* })
            }
        }
    )*};
}

/// Declares enums that are one number on the wire; other numbers are refused.
#[macro_export]
macro_rules! xdr_enum {
    ($($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $value:expr),* $(,)?
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u32)]
        pub enum $name { $($(#[$variant_meta])* $variant = $value),* }

        impl $crate::Encode for $name {
            fn encode(&self, e: &mut $crate::Encoder) {
                e.u32(*self as u32);
            }
        }

        impl $crate::Decode for $name {
            fn decode(d: &mut $crate::Decoder) -> Result<Self, $crate::XdrError> {
                match d.u32()? {
                    $(v if v == $name::$variant as u32 => Ok($name::$variant),)*
                    _ => Err($crate::XdrError::Invalid),
                }
            }
        }
    )*};
}

/// Declares discriminated unions over a number: `NUMBER => Variant(Type)`, with `()` for no content.
#[macro_export]
macro_rules! xdr_union {
    ($($(#[$meta:meta])* pub enum $name:ident {
        $($(#[$variant_meta:meta])* $value:literal => $variant:ident($type:ty)),* $(,)?
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum $name { $($(#[$variant_meta])* $variant($type)),* }

        impl $crate::Encode for $name {
            fn encode(&self, e: &mut $crate::Encoder) {
                match self {
                    $($name::$variant(content) => {
                        e.u32($value);
                        $crate::Encode::encode(content, e);
                    })*
                }
            }
        }

        impl $crate::Decode for $name {
            fn decode(d: &mut $crate::Decoder) -> Result<Self, $crate::XdrError> {
                match d.u32()? {
                    $($value => Ok($name::$variant(<$type as $crate::Decode>::decode(d)?)),)*
                    _ => Err($crate::XdrError::Invalid),
                }
            }
        }
    )*};
}
