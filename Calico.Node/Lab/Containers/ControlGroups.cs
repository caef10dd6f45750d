namespace Calico.Node.Lab.Containers;

/// <summary>The control groups that carry the lab's name: container runtimes remove a container's own, and leave its parent.</summary>
internal static class ControlGroups
{
    private const string Root = "/sys/fs/cgroup";

    /// <summary>Removes them in every hierarchy, and those below them; nobody may be in one any more.</summary>
    public static void Remove(LabPlace place)
    {
        if (!Directory.Exists(Root))
            return;
        // Version 1 has a hierarchy in each folder, version 2 is one.
        foreach (var hierarchy in Directory.EnumerateDirectories(Root).Append(Root))
        {
            var ours = Path.Combine(hierarchy, place.Name);
            if (!Directory.Exists(ours))
                continue;
            // The files in a group go with it.
            foreach (var group in Directory.EnumerateDirectories(ours, "*", SearchOption.AllDirectories).OrderByDescending(g => g.Length).Append(ours))
                Directory.Delete(group);
        }
    }
}
