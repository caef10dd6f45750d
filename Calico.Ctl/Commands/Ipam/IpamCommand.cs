using System.CommandLine;

namespace Calico.Ctl.Commands.Ipam;

// ipam: IpamCommand -> one file a command -> IpamReader (what is stored) -> Calico.Core.Ipam (what it means).
//
//   show        pools and blocks, one address, borrowed addresses, settings
//   check       compares blocks, handles, affinities, endpoints, nodes and pools; writes a report
//   audit       proves that allocated + free + cooling = capacity, and says of each address why it is not free
//   release     takes back one address, or what reports call leaked
//   configure   the allocator's settings
//   split       one pool into several
//   resize      a pool's CIDR larger or smaller
//
// Every write is a transaction that compares all that it was decided from, and is bounded in size.

/// <summary>ipam: addresses, blocks and pools.</summary>
internal static class IpamCommand
{
    public static Command Build(CtlContext context) => new("ipam",
        "IP address management: check the records, release addresses, show usage and change settings.")
    {
        IpamShowCommand.Build(context),
        IpamCheckCommand.Build(context),
        IpamAuditCommand.Build(context),
        IpamReleaseCommand.Build(context),
        IpamConfigureCommand.Build(context),
        IpamSplitCommand.Build(context),
        IpamResizeCommand.Build(context),
    };
}
