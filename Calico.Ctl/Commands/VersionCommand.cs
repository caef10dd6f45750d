using System.CommandLine;
using Calico.Core.Model.Resources;
using Calico.Datastore;

namespace Calico.Ctl.Commands;

/// <summary>version: of this program, and of the cluster where it can be reached.</summary>
internal static class VersionCommand
{
    public static Command Build(CtlContext context)
    {
        var client = new Option<bool>("--client") { Description = "Only the version of this program." };
        var config = CommonOptions.Config();
        var command = new Command("version", "Show versions.") { client, config };
        command.SetAction(async (parsed, cancellation) =>
        {
            await context.Out.WriteLineAsync($"Client Version:    {ProgramVersion.Own}");
            if (parsed.GetValue(client))
                return CommandLine.Success;
            try
            {
                return await context.WithStoreAsync(parsed.GetValue(config)!, async (_, store) =>
                {
                    var info = await store.FindAsync<ClusterInformation>(new ResourceKey(ResourceKind.ClusterInformation, null, ClusterInformation.DefaultName), cancellation);
                    await context.Out.WriteLineAsync($"Cluster Version:   {info?.Spec.CalicoVersion ?? "unknown"}");
                    await context.Out.WriteLineAsync($"Cluster Type:      {info?.Spec.ClusterType ?? "unknown"}");
                    return CommandLine.Success;
                }, ofAnyVersion: true);
            }
            catch (DatastoreException e)
            {
                throw new CtlException($"unable to retrieve Cluster Version or Type: {e.Message}", e);
            }
        });
        return command;
    }
}
