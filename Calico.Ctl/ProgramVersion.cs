using System.Reflection;
using Calico.Core.Model.Resources;
using Calico.Datastore.Resources;

namespace Calico.Ctl;

/// <summary>The version of this program, and whether it fits that of a cluster.</summary>
internal static class ProgramVersion
{
    /// <summary>With the leading <c>v</c>, without the commit.</summary>
    public static string Own { get; } =
        "v" + (typeof(ProgramVersion).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown").Split('+')[0];

    /// <summary>Refuses a cluster that says it has another version, apart from what follows a dash.</summary>
    /// <exception cref="CtlException">It has.</exception>
    public static async Task CheckClusterAsync(ResourceStore store)
    {
        var cluster = await store.FindAsync<ClusterInformation>(new ResourceKey(ResourceKind.ClusterInformation, null, ClusterInformation.DefaultName));
        if (cluster?.Spec.CalicoVersion is { Length: > 0 } version && Number(version) is var found && found != Number(Own))
            throw new CtlException($"version mismatch.\nClient Version:   {Own}\nCluster Version:  {found}\nUse --allow-version-mismatch to override");
    }

    private static string Number(string version) => (version.StartsWith('v') ? version[1..] : version).Split('-')[0];
}
