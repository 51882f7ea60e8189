//! The numbers of nf_tables' attributes (`enum nft_*_attributes` of linux/netfilter/nf_tables.h).
//! Those of single expressions are in `expr.rs`, where each is used once.

#![allow(missing_docs)]

pub const TABLE_NAME: u16 = 1;
pub const TABLE_FLAGS: u16 = 2;
pub const TABLE_USERDATA: u16 = 6;
pub const CHAIN_TABLE: u16 = 1;
pub const CHAIN_NAME: u16 = 3;
pub const CHAIN_HOOK: u16 = 4;
pub const CHAIN_POLICY: u16 = 5;
pub const CHAIN_TYPE: u16 = 7;
pub const CHAIN_USERDATA: u16 = 12;
pub const HOOK_NUMBER: u16 = 1;
pub const HOOK_PRIORITY: u16 = 2;
pub const RULE_TABLE: u16 = 1;
pub const RULE_CHAIN: u16 = 2;
pub const RULE_HANDLE: u16 = 3;
pub const RULE_EXPRESSIONS: u16 = 4;
pub const RULE_USERDATA: u16 = 7;
pub const SET_TABLE: u16 = 1;
pub const SET_NAME: u16 = 2;
pub const SET_FLAGS: u16 = 3;
pub const SET_KEY_TYPE: u16 = 4;
pub const SET_KEY_LENGTH: u16 = 5;
pub const SET_DATA_TYPE: u16 = 6;
pub const SET_DATA_LENGTH: u16 = 7;
pub const SET_ID: u16 = 10;
pub const SET_USERDATA: u16 = 13;
pub const LIST_TABLE: u16 = 1;
pub const LIST_SET: u16 = 2;
pub const LIST_ELEMENTS: u16 = 3;
pub const LIST_ELEMENT: u16 = 1;
pub const ELEMENT_KEY: u16 = 1;
pub const ELEMENT_DATA: u16 = 2;
pub const ELEMENT_FLAGS: u16 = 3;
pub const ELEMENT_KEY_END: u16 = 10;
pub const ELEMENT_USERDATA: u16 = 6;
pub const GENERATION_ID: u16 = 1;
pub const DATA_VALUE: u16 = 1;
pub const DATA_VERDICT: u16 = 2;
pub const EXPR_NAME: u16 = 1;
pub const EXPR_DATA: u16 = 2;
