using System.CommandLine;
using System.Globalization;

namespace Calico.Ctl.Commands.Node;

/// <summary>node checksystem: whether the kernel of this host has what an agent needs.</summary>
internal static class CheckSystemCommand
{
    /// <summary>Sets with verdicts, concatenations with ranges and netlink batches as the agent uses them.</summary>
    private static readonly Version MinKernel = new(5, 10);

    /// <summary>A feature is there if any of its modules is loaded, loadable or built in, or any option is set.</summary>
    private sealed record Feature(string Name, string[] Modules, string[] Options, string? OnlyFor = null);

    private static readonly Feature[] Features =
    [
        new("nf_tables", ["nf_tables"], ["CONFIG_NF_TABLES"]),
        new("nft_ct", ["nft_ct"], ["CONFIG_NFT_CT"]),
        new("nft_fib", ["nft_fib_inet", "nft_fib"], ["CONFIG_NFT_FIB_INET", "CONFIG_NFT_FIB"]),
        new("nft_masq", ["nft_masq"], ["CONFIG_NFT_MASQ"]),
        new("nft_nat", ["nft_chain_nat"], ["CONFIG_NFT_NAT"]),
        new("nft_reject", ["nft_reject_inet", "nft_reject"], ["CONFIG_NFT_REJECT_INET", "CONFIG_NFT_REJECT"]),
        new("nf_conntrack", ["nf_conntrack"], ["CONFIG_NF_CONNTRACK"]),
        new("nf_conntrack_netlink", ["nf_conntrack_netlink"], ["CONFIG_NF_CT_NETLINK"]),
        new("veth", ["veth"], ["CONFIG_VETH"]),
        new("nft_log", ["nft_log"], ["CONFIG_NFT_LOG"], "policies with the action Log"),
        new("ipip", ["ipip"], ["CONFIG_NET_IPIP"], "pools with ipipMode"),
        new("vxlan", ["vxlan"], ["CONFIG_VXLAN"], "pools with vxlanMode"),
        new("wireguard", ["wireguard"], ["CONFIG_WIREGUARD"], "encryption"),
        new("sctp", ["sctp", "nf_conntrack_proto_sctp"], ["CONFIG_NF_CT_PROTO_SCTP"], "rules for SCTP"),
    ];

    public static Command Build(CtlContext context)
    {
        var kernelConfig = new Option<string?>("--kernel-config", "-f") { Description = "The kernel's configuration file, where it is not in one of the usual places." };
        var command = new ExampleCommand("checksystem",
            "Check that this host can run an agent: the kernel's version and what it has.", "node checksystem") { kernelConfig };
        command.SetAction(async (parsed, cancellation) =>
        {
            var release = (await File.ReadAllTextAsync("/proc/sys/kernel/osrelease", cancellation)).Trim();
            await context.Out.WriteLineAsync("Checking kernel version...");
            var isNewEnough = IsNewEnough(release);
            await ResultAsync(context, release, isNewEnough ? "OK" : "FAIL");
            if (!isNewEnough)
                await context.Out.WriteLineAsync($"Minimum kernel version to run Calico is {MinKernel}. Detected kernel version: {release}");
            await context.Out.WriteLineAsync("Checking kernel modules...");
            var present = new KernelFeatures(release, parsed.GetValue(kernelConfig));
            var missing = 0;
            foreach (var feature in Features)
            {
                var has = feature.Modules.Any(present.HasModule) || feature.Options.Any(present.HasOption);
                if (!has)
                    await context.Out.WriteLineAsync(feature.OnlyFor is null
                        ? $"WARNING: Unable to detect the {feature.Name} module as Loaded/Builtin module or lsmod"
                        : $"WARNING: Unable to detect optional module/feature {feature.Name}, for {feature.OnlyFor}; continuing");
                missing += !has && feature.OnlyFor is null ? 1 : 0;
                await ResultAsync(context, feature.Name, has ? "OK" : feature.OnlyFor is null ? "FAIL" : "SKIP");
            }
            if (!isNewEnough || missing > 0)
                throw new CtlException("system doesn't meet one or more minimum systems requirements to run Calico");
            await context.Out.WriteLineAsync("System meets minimum system requirements to run Calico!");
            return CommandLine.Success;
        });
        return command;
    }

    internal static bool IsNewEnough(string release)
    {
        var parts = release.Split('.', '-', '+');
        return parts.Length >= 2 && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var major)
            && int.TryParse(new string([.. parts[1].TakeWhile(char.IsAsciiDigit)]), NumberStyles.None, CultureInfo.InvariantCulture, out var minor)
            && new Version(major, minor) >= MinKernel;
    }

    private static Task ResultAsync(CtlContext context, string what, string result) => context.Out.WriteLineAsync($"\t\t{what,-20}\t\t\t\t\t{result}");
}
