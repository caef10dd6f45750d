using Akka.Cluster;

namespace Calico.Actors.Cluster;

/// <summary>Where the well-known actors of a member stand, and how a member tells its node's name.</summary>
internal static class MeshPaths
{
    public const string Gateway = "/user/gateway";
    public const string PolicyLog = "/user/policies";

    public static string NodeOf(Member member) =>
        member.Roles.FirstOrDefault(r => r.StartsWith(MeshOptions.RolePrefix, StringComparison.Ordinal))?[MeshOptions.RolePrefix.Length..] ?? "";
}
