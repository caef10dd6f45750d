using System.CommandLine;
using System.Globalization;
using Calico.Core.Ipam;
using Calico.Core.Net;
using Calico.Ctl.Output;

namespace Calico.Ctl.Commands.Ipam;

/// <summary>ipam resize: a larger or smaller CIDR for a pool, or what that would come to.</summary>
internal static class IpamResizeCommand
{
    /// <summary>Longer than news of a pool takes to every node of a large mesh.</summary>
    private const double DefaultSettle = 5;

    public static Command Build(CtlContext context)
    {
        var name = new Argument<string>("POOL") { Description = "Name of the pool." };
        var cidr = new Option<string>("--cidr") { Description = "The CIDR that the pool is to have: around the present one, or inside of it.", Required = true };
        var dryRun = new Option<bool>("--dry-run") { Description = "Show the plan and change nothing." };
        var settle = new Option<double>("--settle")
        {
            Description = "Seconds until every node has heard of the pool's new CIDR; then blocks that are outside are taken back.",
            DefaultValueFactory = _ => DefaultSettle,
        };
        var config = CommonOptions.Config();
        var command = new ExampleCommand("resize",
            "Extend or shrink an IP pool. Shows what stays, joins and goes, and refuses if anything in use would be outside, or another pool overlaps. "
            + "Run it again after an interruption: it goes on where it broke off.",
            "ipam resize default-pool --cidr=10.64.0.0/15 --dry-run", "ipam resize default-pool --cidr=10.64.0.0/15") { name, cidr, dryRun, settle, config };
        command.SetAction((parsed, cancellation) =>
        {
            if (!Cidr.TryParse(parsed.GetValue(cidr), out var wanted))
                throw new CtlException($"--cidr is '{parsed.GetValue(cidr)}' and must be a CIDR, such as 10.65.0.0/16");
            var wait = parsed.GetValue(settle);
            if (wait is not (>= 0 and <= 600))
                throw new CtlException("--settle must be between 0 and 600 seconds");
            return context.WithStoreAsync(parsed.GetValue(config)!, async (datastore, _) =>
            {
                var resizing = new PoolResizing(context, datastore, parsed.GetValue(name)!, wanted);
                var (plan, _) = await resizing.PlanAsync(cancellation);
                await context.Out.WriteAsync(Text(plan));
                if (parsed.GetValue(dryRun) || !plan.IsAllowed)
                    return plan.IsAllowed ? CommandLine.Success : CommandLine.Failure;
                await resizing.RunAsync(TimeSpan.FromSeconds(wait), cancellation);
                await context.Out.WriteLineAsync($"Pool {plan.Pool} has the CIDR {plan.To}.");
                return CommandLine.Success;
            });
        });
        return command;
    }

    private static string Text(PoolResizePlan plan)
    {
        var table = new GridTable("BLOCK", "OWNER", "ADDRESSES TAKEN", "PLAN");
        foreach (var block in plan.Blocks)
            table.Add(block.Block.ToString(), block.Owner ?? "<none>", block.Taken.ToString(CultureInfo.InvariantCulture), NameOf(block.Place));
        return (plan.Blocks.IsEmpty ? "" : table.ToString())
            + string.Concat(plan.Notes.Select(n => $"note: {n}\n")) + string.Concat(plan.Refusals.Select(r => $"refused: {r}\n")) + plan.Summary + "\n";
    }

    private static string NameOf(BlockPlace place) => place switch
    {
        BlockPlace.Stays => "stays",
        BlockPlace.Joins => "joins",
        BlockPlace.Goes => "is taken back",
        _ => "in the way",
    };
}
