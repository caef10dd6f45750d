using System.CommandLine;
using System.Globalization;
using System.Numerics;
using System.Text.Json;
using Calico.Core.Model.Resources;
using Calico.Core.Net;
using Calico.Datastore;
using Calico.Datastore.Resources;
using Spectre.Console;

namespace Calico.Ctl.Commands;

/// <summary>ipam show: how full pools and blocks are, or who has an address. Only reads.</summary>
internal static class IpamCommand
{
    private const string BlockRoot = "/calico/ipam/v2/assignment/";

    public static Command Build(CtlContext context)
    {
        var showBlocks = new Option<bool>("--show-blocks") { Description = "Also each block." };
        var ip = new Option<string?>("--ip") { Description = "Who has this address." };
        var config = CommonOptions.Config();
        var show = new Command("show", "Show how many addresses of pools are in use, or who has one.") { showBlocks, ip, config };
        show.SetAction((parsed, cancellation) => context.WithStoreAsync(parsed.GetValue(config)!, async (datastore, store) =>
        {
            var blocks = await BlocksAsync(datastore, cancellation);
            if (parsed.GetValue(ip) is { } text)
                return await ShowAddressAsync(context, blocks, text);
            await ShowPoolsAsync(context, store, blocks, parsed.GetValue(showBlocks), cancellation);
            return CommandLine.Success;
        }));
        return new Command("ipam", "IP address management.") { show };
    }

    private static async Task ShowPoolsAsync(CtlContext context, ResourceStore store, List<Block> blocks, bool showBlocks, CancellationToken cancellation)
    {
        var pools = (await store.ListAsync(ResourceKind.IPPool, cancellation: cancellation)).Items.Cast<IPPool>()
            .Where(p => Cidr.TryParse(p.Spec.Cidr, out _)).Select(p => Cidr.Parse(p.Spec.Cidr)).Order().ToList();
        var reserved = (await store.ListAsync(ResourceKind.IPReservation, cancellation: cancellation)).Items.Cast<IPReservation>()
            .SelectMany(r => r.Spec.ReservedCIDRs).Where(c => Cidr.TryParseOrHost(c, out _))
            .Select(c => Cidr.TryParseOrHost(c, out var cidr) ? cidr : default).ToList();
        var table = new Table { Border = TableBorder.Ascii2 };
        foreach (var (heading, isNumber) in new[] { ("GROUPING", false), ("CIDR", false), ("IPS TOTAL", true), ("IPS IN USE", true), ("IPS RESERVED", true), ("IPS FREE", true) })
            table.AddColumn(new TableColumn(heading) { Alignment = isNumber ? Justify.Right : Justify.Left, NoWrap = true });
        foreach (var pool in pools)
        {
            var inside = blocks.Where(b => pool.Contains(b.Cidr)).ToList();
            table.AddRow(Row("IP Pool", pool, inside, reserved));
            foreach (var block in showBlocks ? inside : [])
                table.AddRow(Row("Block", block.Cidr, [block], reserved));
        }
        foreach (var orphan in showBlocks ? blocks.Where(b => !pools.Any(p => p.Contains(b.Cidr))) : [])
            table.AddRow(Row("Block", orphan.Cidr, [orphan], reserved));
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.No, Out = new AnsiConsoleOutput(context.Out) });
        console.Profile.Width = 512;
        console.Write(table);
    }

    // An address may be in use and reserved; free is what is neither.
    private static string[] Row(string grouping, Cidr cidr, List<Block> blocks, List<Cidr> reservations)
    {
        var capacity = Size(cidr);
        BigInteger used = 0, both = 0;
        foreach (var block in blocks)
        {
            foreach (var ordinal in block.Used)
            {
                used++;
                var address = block.Cidr.First.Add((UInt128)ordinal);
                if (reservations.Any(r => r.Contains(address)))
                    both++;
            }
        }
        var reserved = Merge(reservations).Aggregate(BigInteger.Zero, (sum, r) => sum + (cidr.Contains(r) ? Size(r) : r.Contains(cidr) ? capacity : 0));
        return [grouping, cidr.ToString(), Number(capacity), Share(used), Share(reserved), Share(capacity - used - reserved + both)];

        string Share(BigInteger n) => string.Create(CultureInfo.InvariantCulture, $"{Number(n)} ({Math.Round(100 * (double)n / (double)capacity, MidpointRounding.ToEven):0}%)");
    }

    // Networks nest or are apart: what another one contains counts once.
    private static List<Cidr> Merge(List<Cidr> cidrs) =>
        [.. cidrs.Select(c => c.Network).Distinct().Where(c => !cidrs.Any(o => o.PrefixLength < c.PrefixLength && o.Contains(c)))];

    private static BigInteger Size(Cidr cidr) => BigInteger.One << ((cidr.IsV4 ? 32 : 128) - cidr.PrefixLength);

    private static string Number(BigInteger n) => n < 100_000
        ? n.ToString(CultureInfo.InvariantCulture)
        : ((double)n).ToString("0.####e+00", CultureInfo.InvariantCulture);

    private static async Task<int> ShowAddressAsync(CtlContext context, List<Block> blocks, string text)
    {
        if (!IpAddr.TryParse(text, out var address))
            throw new CtlException($"'{text}' is not an IP address");
        var block = blocks.Find(b => b.Cidr.Contains(address));
        if (block is null || !block.TryGetOwner((int)block.Cidr.OrdinalOf(address), out var owner))
        {
            await context.Out.WriteLineAsync($"{address} is not assigned");
            return CommandLine.Success;
        }
        await context.Out.WriteLineAsync($"IP {address} is in use");
        await context.Out.WriteLineAsync($"Handle ID: {Text(owner, "handle_id") ?? "<none>"}");
        await WriteAttributesAsync(context, owner, "secondary", "Active Owner Attributes", "No Active Owner attributes defined");
        await WriteAttributesAsync(context, owner, "alternateOwnerAttrs", "Alternate Owner Attributes", null);
        return CommandLine.Success;
    }

    private static async Task WriteAttributesAsync(CtlContext context, JsonElement owner, string field, string title, string? none)
    {
        if (!owner.TryGetProperty(field, out var attributes) || attributes.ValueKind != JsonValueKind.Object || !attributes.EnumerateObject().Any())
        {
            if (none is not null)
                await context.Out.WriteLineAsync(none);
            return;
        }
        await context.Out.WriteLineAsync($"{title}:");
        foreach (var attribute in attributes.EnumerateObject().OrderBy(a => a.Name, StringComparer.Ordinal))
            await context.Out.WriteLineAsync($"  {attribute.Name}: {attribute.Value}");
    }

    private static string? Text(JsonElement json, string name) =>
        json.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static async Task<List<Block>> BlocksAsync(IDatastore datastore, CancellationToken cancellation)
    {
        var blocks = new List<Block>();
        string? next = null;
        var revision = 0L;
        do
        {
            var page = await datastore.ListAsync(BlockRoot, next, revision, cancellation: cancellation);
            (next, revision) = (page.Next, page.Revision);
            foreach (var stored in page.Items)
            {
                if (Block.TryRead(stored) is { } block)
                    blocks.Add(block);
            }
        }
        while (next is not null);
        return [.. blocks.OrderBy(b => b.Cidr)];
    }

    /// <summary>As much of a stored block as showing it takes.</summary>
    private sealed record Block(Cidr Cidr, JsonElement Json, List<int> Used)
    {
        public static Block? TryRead(KeyValue stored)
        {
            try
            {
                using var document = JsonDocument.Parse(stored.Value);
                var json = document.RootElement.Clone();
                if (!Cidr.TryParse(Text(json, "cidr") ?? "", out var cidr) || !json.TryGetProperty("allocations", out var allocations))
                    return null;
                var used = allocations.EnumerateArray().Select((a, i) => (a, i)).Where(p => p.a.ValueKind == JsonValueKind.Number).Select(p => p.i);
                return new Block(cidr, json, [.. used]);
            }
            catch (Exception e) when (e is JsonException or InvalidOperationException)
            {
                return null;
            }
        }

        public bool TryGetOwner(int ordinal, out JsonElement owner)
        {
            owner = default;
            if (!Used.Contains(ordinal) || !Json.TryGetProperty("attributes", out var attributes) || attributes.ValueKind != JsonValueKind.Array)
                return false;
            var index = Json.GetProperty("allocations")[ordinal].GetInt32();
            if (index < 0 || index >= attributes.GetArrayLength())
                return false;
            owner = attributes[index];
            return true;
        }
    }
}
