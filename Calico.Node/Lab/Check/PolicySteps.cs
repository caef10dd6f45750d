namespace Calico.Node.Lab.Check;

/// <summary>A policy of <c>deploy/lab/recipes</c> and what it must do to the six pods of the check.</summary>
internal sealed record Recipe(string File, string Meaning, Func<PodId, PodId, LabPort, bool> Allows);

/// <summary>Policies give exactly the expected matrix, and taking them away gives the old one back.</summary>
internal static class PolicySteps
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);

    private static readonly PodId Web = new("shop", "web");
    private static readonly PodId Api = new("shop", "api");
    private static readonly PodId Db = new("shop", "db");

    private static readonly Recipe[] Recipes =
    [
        new("deny-all.yaml", "nobody reaches the shop", (_, to, _) => to.Namespace != "shop"),
        new("allow-from-app.yaml", "only api reaches db", (from, to, _) => to != Db || from == Api),
        new("allow-from-namespace.yaml", "only the namespace other reaches web", (from, to, _) => to != Web || from.Namespace == "other"),
        new("deny-egress.yaml", "api reaches nobody", (from, _, _) => from != Api),
        new("allow-port.yaml", "web answers on 80/tcp only", (_, to, port) => to != Web || port == ConnectivitySteps.Web),
    ];

    public static async Task RunAsync(CheckRun run)
    {
        foreach (var recipe in Recipes)
        {
            await run.StepAsync($"policy {recipe.File}: {recipe.Meaning}", () => ApplyAsync(run, recipe));
            await run.StepAsync($"policy {recipe.File} deleted: all as before", () => DeleteAsync(run, recipe));
        }
        await run.StepAsync("calicoctl apply --wait returns when the policy is in every kernel", () => WaitAsync(run));
        var demo = new Demo(run.Lab);
        await run.StepAsync("stars: pods", demo.StartPodsAsync);
        await run.StepAsync("stars: everybody reaches everybody without policy", () =>
            CheckRun.UntilRightAsync(Limit, async () => (await demo.MeasureAsync()).Difference((_, _) => true)));
        await run.StepAsync("stars: the policies give exactly the expected matrix", async () =>
        {
            await demo.ApplyPoliciesAsync();
            return string.Join(' ', (await demo.MeasureAsync()).Rows.Select(r => $"[{r}]"));
        });
        await run.StepAsync("stars: without the policies all as before", async () =>
        {
            await demo.RemovePoliciesAsync();
            await CheckRun.UntilRightAsync(Limit, async () => (await demo.MeasureAsync()).Difference((_, _) => true));
        });
    }

    private static async Task<string> ApplyAsync(CheckRun run, Recipe recipe)
    {
        await run.Lab.ApplyAsync(LabPlace.Manifest($"recipes/{recipe.File}"));
        LabPort[] ports = [ConnectivitySteps.Web, ConnectivitySteps.Other, ConnectivitySteps.Icmp];
        foreach (var port in ports)
            await CheckRun.UntilRightAsync(Limit, async () => (await run.Lab.MatrixAsync(port, ConnectivitySteps.IsOurs))
                .Difference((from, to) => recipe.Allows(from, to, port)));
        // Once more: what became right must stay right.
        foreach (var port in ports)
        {
            var difference = (await run.Lab.MatrixAsync(port, ConnectivitySteps.IsOurs)).Difference((from, to) => recipe.Allows(from, to, port));
            CheckRun.Require(difference.Length == 0, $"it was right and changed: {difference}");
        }
        return string.Join(", ", ports.Select(p => p.ToString()));
    }

    // No second look: what --wait promises holds at once. Allow and deny in turn, so that each is a change.
    private static async Task<string> WaitAsync(CheckRun run)
    {
        var told = "";
        foreach (var action in (string[])["Deny", "Allow", "Deny"])
        {
            var (exit, output, errors) = await run.Lab.Ctl.RunAsync($$"""
                {"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": "lab-wait"},
                 "spec": {"order": 1, "selector": "projectcalico.org/namespace == 'shop'", "types": ["Ingress"], "ingress": [{"action": "{{action}}"}]} }
                """, "apply", "--wait", "-f", "-");
            CheckRun.Require(exit == 0, errors);
            told = output.Trim().Split('\n')[^1];
            var difference = (await run.Lab.MatrixAsync(ConnectivitySteps.Web, ConnectivitySteps.IsOurs))
                .Difference((_, to) => action == "Allow" || to.Namespace != "shop");
            CheckRun.Require(difference.Length == 0, $"{told}, but {difference}");
        }
        var (gone, _, problem) = await run.Lab.Ctl.RunAsync(null, "delete", "globalnetworkpolicy", "lab-wait");
        CheckRun.Require(gone == 0, problem);
        await ConnectivitySteps.AllReachAllAsync(run, ConnectivitySteps.Web);
        return told;
    }

    private static async Task<string> DeleteAsync(CheckRun run, Recipe recipe)
    {
        await run.Lab.DeleteAsync(LabPlace.Manifest($"recipes/{recipe.File}"));
        return await ConnectivitySteps.AllReachAllAsync(run, ConnectivitySteps.Web);
    }
}
