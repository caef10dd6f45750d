using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Calico.Core.Model.Resources;

/// <summary>
/// The identifiers that make the name of a workload endpoint, <c>NODE-ORCHESTRATOR-WORKLOAD-ENDPOINT</c> with every
/// dash inside a part doubled. The workload is the pod for <c>k8s</c>, the container for <c>cni</c> and
/// <c>libnetwork</c> itself there.
/// </summary>
public sealed record WorkloadEndpointName(string Node, string Orchestrator, string Workload, string Endpoint)
{
    public static WorkloadEndpointName ForPod(string node, string pod) => new(node, "k8s", pod, "eth0");

    /// <summary>The identifiers in a spec; absent ones are empty.</summary>
    public static WorkloadEndpointName Of(WorkloadEndpointSpec spec) => new(
        spec.Node ?? "",
        spec.Orchestrator ?? "",
        spec.Orchestrator switch
        {
            "k8s" => spec.Pod ?? "",
            "cni" => spec.ContainerID ?? "",
            "libnetwork" => "libnetwork",
            _ => spec.Workload ?? "",
        },
        spec.Endpoint ?? "");

    /// <summary>Composes the name, or says which part makes that impossible.</summary>
    public bool TryFormat([NotNullWhen(true)] out string? name, [NotNullWhen(false)] out string? problem)
    {
        name = problem = null;
        var text = new StringBuilder();
        foreach (var (part, field) in Parts())
        {
            if (part.Length == 0)
                problem = $"{field}: field should be assigned";
            else if (part[0] == '-' || part[^1] == '-')
                problem = $"{field} = '{part}': must neither begin nor end with '-'";
            if (problem is not null)
                return false;
            if (text.Length > 0)
                text.Append('-');
            text.Append(part.Replace("-", "--", StringComparison.Ordinal));
        }
        name = text.ToString();
        return true;
    }

    /// <summary>Takes a name apart; false if it has not exactly four parts.</summary>
    public static bool TryParse(string name, [NotNullWhen(true)] out WorkloadEndpointName? parsed)
    {
        parsed = null;
        var parts = new List<string>(4);
        var start = 0;
        for (var i = 1; i < name.Length; i++)
        {
            if (name[i] != '-')
                continue;
            if (i + 1 < name.Length && name[i + 1] == '-')
            {
                i++;
                continue;
            }
            parts.Add(Unescape(name[start..i]));
            start = i + 1;
        }
        parts.Add(Unescape(name[start..]));
        if (parts.Count != 4 || parts.Any(p => p.Length == 0))
            return false;
        parsed = new WorkloadEndpointName(parts[0], parts[1], parts[2], parts[3]);
        return true;
    }

    public override string ToString() => TryFormat(out var name, out var problem) ? name : $"({problem})";

    private static string Unescape(string part) => part.Replace("--", "-", StringComparison.Ordinal);

    private (string Part, string Field)[] Parts() =>
    [
        (Node, "node"), (Orchestrator, "orchestrator"),
        (Workload, Orchestrator switch { "k8s" => "pod", "cni" => "containerID", _ => "workload" }), (Endpoint, "endpoint"),
    ];
}
