using System.Collections.Immutable;
using System.CommandLine;
using System.Globalization;
using System.Numerics;
using Calico.Core.Ipam;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Ctl.Output;
using Calico.Datastore;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>ipam show: how full pools and blocks are, who has an address, what is borrowed, the settings. Only reads.</summary>
internal static class IpamShowCommand
{
    private const int Digits = 5;

    public static Command Build(CtlContext context)
    {
        var ip = new Option<string?>("--ip") { Description = "Report whether this address is in use, and by whom." };
        var blocks = new Option<bool>("--show-blocks") { Description = "Also each block of the pools." };
        var borrowed = new Option<bool>("--show-borrowed") { Description = "Addresses that nodes took from blocks of others." };
        var settings = new Option<bool>("--show-configuration") { Description = "The allocator's settings." };
        var config = CommonOptions.Config();
        var command = new ExampleCommand("show",
            "Show how many addresses of pools are in use. Options look at one address, at blocks, at borrowed addresses, or at the settings.",
            "ipam show", "ipam show --show-blocks", "ipam show --ip=10.65.0.2") { ip, blocks, borrowed, settings, config };
        command.SetAction((parsed, cancellation) => context.WithStoreAsync(parsed.GetValue(config)!, async (datastore, _) =>
        {
            var text = parsed.GetValue(ip) is { Length: > 0 } address ? await ShowAddress.TextAsync(context, datastore, address, cancellation)
                : parsed.GetValue(blocks) ? await PoolsAsync(context, datastore, withBlocks: true, cancellation)
                : parsed.GetValue(borrowed) ? await ShowBorrowed.TextAsync(context, datastore, cancellation)
                : parsed.GetValue(settings) ? await ConfigurationAsync(datastore, cancellation)
                : await PoolsAsync(context, datastore, withBlocks: false, cancellation);
            await context.Out.WriteAsync(text);
            return CommandLine.Success;
        }));
        return command;
    }

    private static async Task<string> PoolsAsync(CtlContext context, IDatastore datastore, bool withBlocks, CancellationToken cancellation)
    {
        var reader = new IpamReader(datastore, context);
        var pools = (await reader.ResourcesAsync<IPPool>(ResourceKind.IPPool, cancellation)).Select(IpamReader.CidrOf).OfType<Cidr>().ToImmutableArray();
        var reserved = (await reader.ResourcesAsync<IPReservation>(ResourceKind.IPReservation, cancellation))
            .SelectMany(r => r.Spec.ReservedCIDRs).Where(c => Cidr.TryParseOrHost(c, out _))
            .Select(c => Cidr.TryParseOrHost(c, out var cidr) ? cidr : default).ToList();
        var table = new GridTable("GROUPING", "CIDR", "IPS TOTAL", "IPS IN USE", "IPS RESERVED", "IPS FREE") { FirstNumber = 2 };
        foreach (var usage in PoolUsage.Of(pools, await reader.BlocksAsync(cancellation), reserved))
        {
            if (usage.Pool is { } pool)
                table.Add(Row("IP Pool", pool));
            foreach (var block in withBlocks ? usage.Blocks : [])
                table.Add(Row("Block", block));
        }
        return table.ToString();
    }

    private static async Task<string> ConfigurationAsync(IDatastore datastore, CancellationToken cancellation)
    {
        var (config, _) = await IpamReader.ConfigAsync(datastore, cancellation);
        var table = new GridTable("PROPERTY", "VALUE");
        table.Add("StrictAffinity", Flag(config.StrictAffinity));
        table.Add("AutoAllocateBlocks", Flag(config.AutoAllocateBlocks));
        table.Add("MaxBlocksPerHost", config.MaxBlocksPerHost.ToString(CultureInfo.InvariantCulture));
        table.Add("KubeVirtVMAddressPersistence", config.KubeVirtVMAddressPersistence ?? IpamConfig.PersistenceEnabled);
        table.Add("IPCooldownSeconds", config.IPCooldownSeconds.ToString(CultureInfo.InvariantCulture));
        return table.ToString();
    }

    private static string[] Row(string grouping, AddressUsage usage)
    {
        return [grouping, usage.Cidr.ToString(), Number(usage.Capacity), Share(usage.InUse), Share(usage.Reserved), Share(usage.Free)];

        string Share(BigInteger n) => string.Create(CultureInfo.InvariantCulture,
            $"{Number(n)} ({Math.Round(100 * (double)n / (double)usage.Capacity, MidpointRounding.ToEven):0}%)");
    }

    // Go's %.5g: five digits, and an exponent from there on.
    internal static string Number(BigInteger n)
    {
        var text = n.ToString(CultureInfo.InvariantCulture);
        if (text.Length <= Digits)
            return text;
        var unit = BigInteger.Pow(10, text.Length - Digits);
        var (kept, rest) = BigInteger.DivRem(n, unit);
        if (rest * 2 > unit || (rest * 2 == unit && !kept.IsEven))
            kept++;
        var digits = kept.ToString(CultureInfo.InvariantCulture);
        var exponent = text.Length - 1 + digits.Length - Digits;
        var fraction = digits[1..Digits].TrimEnd('0');
        return string.Create(CultureInfo.InvariantCulture, $"{digits[0]}{(fraction.Length > 0 ? "." : "")}{fraction}e+{exponent:00}");
    }

    private static string Flag(bool value) => value ? "true" : "false";
}
