namespace Calico.Actors.Endpoints;

/// <summary>Which start of the machine this is: nothing that a pod had in memory or in the kernel outlives it.</summary>
internal static class Boot
{
    public static string Id { get; } = Read();

    private static string Read()
    {
        try
        {
            return File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Not told: every start of the agent counts as the same one, and nothing is given up.
            return "";
        }
    }
}
