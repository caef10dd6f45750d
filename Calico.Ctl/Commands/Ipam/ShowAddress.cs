using System.Text;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>ipam show --ip: who has an address.</summary>
internal static class ShowAddress
{
    /// <exception cref="CtlException">It is no address, its block cannot be read, or it cools down.</exception>
    public static async Task<string> TextAsync(CtlContext context, IDatastore datastore, string given, CancellationToken cancellation)
    {
        var address = Parse(given);
        var (config, _) = await IpamReader.ConfigAsync(datastore, cancellation);
        var block = await FindBlockAsync(context, datastore, address, cancellation);
        if (block?.OwnerOf(address) is not { } owner)
            return $"{address} is not assigned\n";
        if (owner.ReleasedAt is { } released)
        {
            return context.Time.GetUtcNow() - released > config.Cooldown
                ? $"{address} is not assigned\n"
                : throw new CtlException($"address {address} is in cooldown");
        }
        var text = new StringBuilder($"IP {address} is in use\n");
        text.Append($"Handle ID: {(owner.HandleId is { } handle ? IpamKeys.HandleId(handle) : "<none>")}\n");
        if (!Append(text, "Active Owner Attributes", owner.Secondary))
            text.Append("No Active Owner attributes defined\n");
        Append(text, "Alternate Owner Attributes", owner.AlternateOwner);
        return text.ToString();
    }

    public static IpAddr Parse(string given) => IpAddr.TryParse(given, out var address)
        ? address
        : throw new CtlException($"Error executing command: invalid IP address specified: {given}");

    /// <summary>
    /// The block that has the address: the one that its pool would give it to, or, where there is none (the pool is gone,
    /// or was made anew with another block size), the one that a look at all of them finds.
    /// </summary>
    private static async Task<IpamBlock?> FindBlockAsync(CtlContext context, IDatastore datastore, IpAddr address, CancellationToken cancellation)
    {
        var reader = new IpamReader(datastore, context);
        if (IpamReader.BlockKeyOf(address, await reader.ResourcesAsync<IPPool>(ResourceKind.IPPool, cancellation)) is { } key
            && await datastore.GetAsync(key, cancellation) is { } stored)
        {
            try
            {
                return IpamJson.ParseBlock(stored.Value);
            }
            catch (FormatException e)
            {
                throw new CtlException($"{key}: {e.Message}; 'calicoctl ipam check' looks at all blocks", e);
            }
        }
        return (await reader.BlocksAsync(cancellation)).FirstOrDefault(b => b.Cidr.Contains(address));
    }

    private static bool Append(StringBuilder text, string title, IReadOnlyDictionary<string, string>? attributes)
    {
        if (attributes is null || attributes.Count == 0)
            return false;
        text.Append($"{title}:\n");
        foreach (var (name, value) in attributes.OrderBy(a => a.Key, StringComparer.Ordinal))
            text.Append($"  {name}: {value}\n");
        return true;
    }
}
