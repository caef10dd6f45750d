using Calico.Core.Ipam;
using Calico.Ctl.Output;
using Calico.Datastore;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>ipam show --show-borrowed: addresses that are in use on another node than their block belongs to.</summary>
internal static class ShowBorrowed
{
    public static async Task<string> TextAsync(CtlContext context, IDatastore datastore, CancellationToken cancellation)
    {
        var table = new GridTable("IP", "BORROWING-NODE", "BLOCK", "BLOCK OWNER", "TYPE", "ALLOCATED-TO");
        var unknown = 0;
        foreach (var block in await new IpamReader(datastore, context).BlocksAsync(cancellation))
        {
            var holder = block.Affinity is { } affinity ? affinity[(affinity.IndexOf(':', StringComparison.Ordinal) + 1)..] : "";
            foreach (var (address, owner) in block.Assigned().Where(a => a.Owner.ReleasedAt is null))
            {
                if (owner["node"] is not { } node)
                {
                    unknown++;
                }
                else if (node != holder)
                {
                    var (type, user) = UserOf(owner);
                    table.Add(address.ToString(), node, block.Cidr.ToString(), holder, type, user);
                }
            }
        }
        return unknown == 0 ? table.ToString()
            : $"{table}\nNote: found {unknown} IP allocations without an explicit node association. Unable to determine if they are borrowed.\n";
    }

    private static (string Type, string User) UserOf(AllocationAttributes owner) =>
        owner["vmi-name"] is { } vmi ? ("vmi", $"{owner["namespace"]}/{vmi}")
        : owner["pod"] is { } pod ? ("pod", $"{owner["namespace"]}/{pod}")
        : (owner["type"] ?? "", "");
}
