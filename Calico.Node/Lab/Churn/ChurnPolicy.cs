using System.Text.Json.Nodes;

namespace Calico.Node.Lab.Churn;

/// <summary>The one policy of the churn: pods of role a are reached by pods of role a only; nothing restricts the others.</summary>
internal static class ChurnPolicy
{
    public const string Selected = "a";

    public static bool Allows(LivingPod from, LivingPod to) => to.Role != Selected || from.Role == Selected;

    public static string Manifest => new JsonArray(new JsonObject
    {
        ["apiVersion"] = "projectcalico.org/v3",
        ["kind"] = "NetworkPolicy",
        ["metadata"] = new JsonObject { ["name"] = "a-from-a", ["namespace"] = Runtime.Namespace },
        ["spec"] = new JsonObject
        {
            ["selector"] = $"{Runtime.RoleLabel} == '{Selected}'",
            ["types"] = new JsonArray("Ingress"),
            ["ingress"] = new JsonArray(new JsonObject
            {
                ["action"] = "Allow",
                ["source"] = new JsonObject { ["selector"] = $"{Runtime.RoleLabel} == '{Selected}'" },
            }),
        },
    }).ToJsonString();
}
