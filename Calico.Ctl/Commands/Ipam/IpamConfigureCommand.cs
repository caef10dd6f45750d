using System.CommandLine;
using System.Globalization;
using Calico.Core.Ipam;
using Calico.Datastore;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>ipam configure: changes the allocator's settings, and only what is named of them.</summary>
internal static class IpamConfigureCommand
{
    private const int Attempts = 16;

    public static Command Build(CtlContext context)
    {
        var strict = new Option<string?>("--strictaffinity") { Description = "true or false: whether nodes take addresses from their own blocks only." };
        var most = new Option<string?>("--max-blocks-per-host") { Description = "How many blocks a node may hold; needs strict affinity; 0 leaves it to the allocator." };
        var persistence = new Option<string?>("--kubevirt-ip-persistence") { Description = "Enabled or Disabled: whether KubeVirt VMs keep their addresses." };
        var cooldown = new Option<string?>("--ip-cooldown-seconds") { Description = "How long a released address rests before somebody gets it again; 0 is not at all." };
        var config = CommonOptions.Config();
        var command = new ExampleCommand("configure",
            "Change settings of address allocation for the whole cluster. What is not named stays as it is; 'ipam show --show-configuration' shows it.",
            "ipam configure --strictaffinity=true", "ipam configure --strictaffinity=true --max-blocks-per-host=4")
        { strict, most, persistence, cooldown, config };
        command.SetAction((parsed, cancellation) =>
        {
            var changes = Changes(parsed.GetValue(strict), parsed.GetValue(most), parsed.GetValue(persistence), parsed.GetValue(cooldown));
            return context.WithStoreAsync(parsed.GetValue(config)!, async (datastore, _) =>
            {
                await StoreAsync(datastore, changes, cancellation);
                foreach (var change in changes)
                    await context.Out.WriteLineAsync($"Successfully set {change.Name} to: {change.Value}");
                return CommandLine.Success;
            });
        });
        return command;
    }

    private sealed record Change(string Name, string Value, Func<IpamConfig, IpamConfig> Apply);

    private static List<Change> Changes(string? strict, string? most, string? persistence, string? cooldown)
    {
        var changes = new List<Change>();
        if (!string.IsNullOrEmpty(strict))
        {
            var isOn = Flag(strict);
            changes.Add(new("StrictAffinity", isOn ? "true" : "false", c => c with { StrictAffinity = isOn }));
        }
        if (!string.IsNullOrEmpty(most))
        {
            if (!int.TryParse(most, NumberStyles.None, CultureInfo.InvariantCulture, out var blocks))
                throw new CtlException("invalid value for maxblockhost. Use a valid number");
            changes.Add(new("MaxBlocksPerHost", Text(blocks), c => c with { MaxBlocksPerHost = blocks }));
        }
        if (!string.IsNullOrEmpty(persistence))
        {
            if (persistence is not (IpamConfig.PersistenceEnabled or IpamConfig.PersistenceDisabled))
                throw new CtlException("invalid value for --kubevirt-ip-persistence. Use Enabled or Disabled");
            changes.Add(new("KubeVirtVMAddressPersistence", persistence, c => c with { KubeVirtVMAddressPersistence = persistence }));
        }
        // -1 is what leaves it as it is for Calico's own.
        if (!string.IsNullOrEmpty(cooldown) && cooldown != "-1")
        {
            if (!int.TryParse(cooldown, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds))
                throw new CtlException($"invalid value for --ip-cooldown-seconds: {cooldown}. Use a number of seconds");
            changes.Add(new("IPCooldownSeconds", Text(seconds), c => c with { IPCooldownSeconds = seconds }));
        }
        return changes.Count > 0 ? changes : throw new CtlException("at least one configuration option must be specified");
    }

    private static async Task StoreAsync(IDatastore datastore, List<Change> changes, CancellationToken cancellation)
    {
        for (var attempt = 0; attempt < Attempts; attempt++)
        {
            var (current, revision) = await IpamReader.ConfigAsync(datastore, cancellation);
            var wanted = changes.Aggregate(current, (config, change) => change.Apply(config));
            if (wanted == current)
                return;
            if (wanted.Contradiction is { } contradiction)
                throw new CtlException($"error: {contradiction}");
            var unchanged = revision == 0 ? Compare.Absent(IpamKeys.Config) : Compare.At(IpamKeys.Config, revision);
            var result = await datastore.CommitAsync(new Transaction([unchanged], [Write.Put(IpamKeys.Config, IpamJson.WriteConfig(wanted))]), cancellation);
            if (result.Succeeded)
                return;
        }
        throw new CtlException($"error: {IpamKeys.Config} changes all the time: try again");
    }

    private static bool Flag(string text) => text switch
    {
        "1" or "t" or "T" or "true" or "TRUE" or "True" => true,
        "0" or "f" or "F" or "false" or "FALSE" or "False" => false,
        _ => throw new CtlException("invalid value. Use true or false to set strictaffinity"),
    };

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
