//! The link between the host and a cluster: a veth pair with a /30 of its own.

use std::{collections::HashSet, net::Ipv4Addr};

use super::{Holdings, ProviderError};
use crate::{
    ledger::{self, Entry},
    process::Process,
};

/// The range that links are taken from: set aside for tests between networks (RFC 2544), so that
/// it clashes with few.
pub(crate) const RANGE: &str = "198.18.0.0/15";

/// First address of the range.
const FIRST: u32 = u32::from_be_bytes([198, 18, 0, 0]);

/// How many networks of four addresses the range has.
const NETWORKS: u32 = 1 << 15;

/// Length of the prefix of a link's network.
pub(crate) const PREFIX: u8 = 30;

/// What a link's name starts with; the cluster's ID follows.
const LINK_PREFIX: &str = "sp";

/// Name of the host's end of the pair.
pub(crate) fn link_name(id: &str) -> String {
    format!("{LINK_PREFIX}{id}")
}

/// Whether a network link is a cluster's.
pub fn is_link_name(name: &str) -> bool {
    name.strip_prefix(LINK_PREFIX)
        .is_some_and(|id| id.len() == 8 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

/// A network of the range that no route and no other cluster uses. `routes` is the text of
/// `/proc/net/route`; call it under the ledger's lock. The search begins at a place of the
/// cluster's own, because runs with another state directory have another lock.
pub(crate) fn free_subnet(id: &str, routes: &str, entries: &[Entry]) -> Result<Ipv4Addr, ProviderError> {
    let used = parse_routes(routes);
    let reserved: HashSet<u32> = entries
        .iter()
        .filter_map(|entry| match &entry.holdings {
            ledger::Holdings::Native(holdings) => Some(u32::from(holdings.subnet)),
            ledger::Holdings::Existing(_) | ledger::Holdings::Kind(_) => None,
        })
        .collect();
    let first = u32::from_str_radix(id, 16).unwrap_or_default();
    (0..NETWORKS)
        .map(|step| FIRST + first.wrapping_add(step) % NETWORKS * 4)
        .find(|network| {
            let overlaps = |&(address, mask): &(u32, u32)| {
                let mask = mask & prefix_mask();
                network & mask == address & mask
            };
            !reserved.contains(network) && !used.iter().any(overlaps)
        })
        .map(Ipv4Addr::from)
        .ok_or(ProviderError::NoFreeSubnet { range: RANGE, taken: used.len() + reserved.len() })
}

/// Makes the pair, with one end in the network namespace of process `pid`, and brings the host's
/// end up.
pub(crate) async fn connect(holdings: &Holdings, pid: i32) -> Result<(), ProviderError> {
    let link = &holdings.link;
    let batch = format!(
        "link add name {link} type veth peer name {} netns {pid}\naddress add {}/{PREFIX} dev {link}\nlink set {link} up\n",
        crate::init::LINK,
        holdings.host_address(),
    );
    Process::new("ip").args(["-batch", "-"]).stdin(batch).run().await?;
    Ok(())
}

const fn prefix_mask() -> u32 {
    u32::MAX << (32 - PREFIX as u32)
}

/// Destination and mask of every route that is not a default one.
fn parse_routes(routes: &str) -> Vec<(u32, u32)> {
    // The kernel prints addresses as the machine holds them.
    let number = |field: &str| u32::from_str_radix(field, 16).ok().map(|value| u32::from_be_bytes(value.to_ne_bytes()));
    routes
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (destination, mask) = (number(fields.get(1)?)?, number(fields.get(7)?)?);
            (mask != 0).then_some((destination, mask))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";

    #[test]
    fn the_first_free_network_is_taken() {
        let routes = format!("{HEADER}eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n");
        assert_eq!(free_subnet("00008000", &routes, &[]).unwrap().to_string(), "198.18.0.0");
    }

    #[test]
    fn networks_in_routes_are_left_alone() {
        // 198.18.0.0/29 and the host route 198.18.0.9/32.
        let routes = format!(
            "{HEADER}spx\t000012C6\t00000000\t0001\t0\t0\t0\tF8FFFFFF\t0\t0\t0\n\
             spy\t090012C6\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n"
        );
        assert_eq!(free_subnet("00008000", &routes, &[]).unwrap().to_string(), "198.18.0.12");
    }

    #[test]
    fn a_route_over_the_whole_range_leaves_nothing() {
        let routes = format!("{HEADER}vpn\t000012C6\t00000000\t0001\t0\t0\t0\t0000FEFF\t0\t0\t0\n");
        let error = free_subnet("00008000", &routes, &[]).unwrap_err().to_string();
        assert!(error.contains("198.18.0.0/15"), "{error}");
    }

    #[test]
    fn two_clusters_begin_at_different_places() {
        let of = |id| free_subnet(id, HEADER, &[]).unwrap().to_string();
        assert_eq!(of("00000001"), "198.18.0.4");
        assert_eq!(of("ffffffff"), "198.19.255.252");
    }

    #[test]
    fn links_are_recognised_by_name() {
        assert!(is_link_name(&link_name("00ab12cd")));
        for other in ["spam", "sp", "sp00ab12cg", "eth0", "sp00ab12cd0"] {
            assert!(!is_link_name(other), "{other}");
        }
    }
}
